"""Tiny data sets in the layouts in which they are distributed, with invented audio."""

import json
import subprocess

import numpy as np
import soundfile
import yaml

RATE = 44100


def tone(level: float, seconds: float, rate: int = RATE) -> np.ndarray:
    """Return a constant, so that sums can be worked out by hand. float32 [samples]."""
    return np.full(round(seconds * rate), level, np.float32)


def slakh_track(folder, stems, seconds=11.0, mix=True, midi=b"broken"):
    """Write a track of Slakh2100. stems: {name: (programme, is_drum, rendered, level)}."""
    (folder / "stems").mkdir(parents=True)
    listed = {}
    for name, (programme, is_drum, rendered, level) in stems.items():
        listed[name] = {"program_num": programme, "is_drum": is_drum, "audio_rendered": rendered, "inst_class": "x"}
        if rendered:
            soundfile.write(folder / "stems" / f"{name}.flac", tone(level, seconds), RATE)
    (folder / "metadata.yaml").write_text(yaml.safe_dump({"UUID": "0", "stems": listed}))
    (folder / "all_src.mid").write_bytes(midi)
    if mix:
        soundfile.write(folder / "mix.flac", tone(0.5, seconds), RATE)
    return folder


def slakh(root):
    """Write a data set with two test tracks, one of each other split, and an omitted one."""
    band = {"S00": (33, False, True, 0.25), "S01": (128, True, True, 0.125), "S02": (30, False, True, 0.0625)}
    full = {**band, "S03": (0, False, True, 0.25), "S04": (5, False, True, 0.125), "S05": (56, False, True, 0.5)}
    slakh_track(root / "test" / "Track01876", full, seconds=21.0)
    slakh_track(root / "test" / "Track01885", {**band, "S03": (0, False, False, 0)}, midi=b"")  # a duplicate
    slakh_track(root / "validation" / "Track01501", full)
    slakh_track(root / "train" / "Track00001", full, seconds=5.0)
    slakh_track(root / "omitted" / "Track00049", full)
    return root


def musdb_hq(root):
    for split, song in (("test", "AM Contra - Heart Peripheral"), ("train", "A - B"), ("train", "ANiMAL - Rockshow")):
        folder = root / split / song
        folder.mkdir(parents=True)
        for number, name in enumerate(("mixture", "drums", "bass", "other", "vocals")):
            stereo = np.stack([tone(0.125 * number, 11.0), tone(0.0, 11.0)], axis=1)  # the average is half the level
            soundfile.write(folder / f"{name}.wav", stereo, RATE)
    return root


def musdb(root, hq):
    """Write MUSDB18 from MUSDB18-HQ with ffmpeg: one MP4 file per song, with the mixture and the stems as streams."""
    for folder in hq.glob("*/*"):
        files = [folder / f"{name}.wav" for name in ("mixture", "drums", "bass", "other", "vocals")]
        target = root / folder.parent.name / f"{folder.name}.stem.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        command = ["ffmpeg", "-v", "error"]
        command += [word for file in files for word in ("-i", str(file))]
        command += [word for number in range(5) for word in ("-map", str(number))]
        subprocess.run([*command, "-c:a", "alac", "-f", "mp4", str(target)], check=True)
    return root


def moises_song(folder, stems, seconds=11.0):
    """Write a song of MoisesDB. stems: {stem: levels of its files}."""
    listed = []
    for stem, levels in stems.items():
        (folder / stem).mkdir(parents=True)
        tracks = []
        for number, level in enumerate(levels):
            soundfile.write(folder / stem / f"{stem[0]}{number}.wav", tone(level, seconds - 0.5 * number), RATE)
            tracks.append({"id": f"{stem[0]}{number}", "trackType": "x", "extension": "wav", "has_bleed": False})
        listed.append({"id": stem, "stemName": stem, "tracks": tracks})
    (folder / "data.json").write_text(json.dumps({"song": "x", "artist": "y", "genre": "z", "stems": listed}))
    return folder


def midi_piece(
    path, bpm=120, seconds=24.0, parts=("bass", "drums", "guitar", "piano"), melody=(0, 4, 7, 5, 2), shift=0.0
):
    """Write a type-0 MIDI file in which every part plays a note on each beat. shift: in beats, off the beat."""
    channels = {"bass": (0, 33, 40), "guitar": (1, 27, 60), "piano": (2, 0, 72), "drums": (9, 0, 36)}
    events = [(0, bytes([0xFF, 0x51, 3]) + round(60_000_000 / bpm).to_bytes(3, "big"))]
    events += [(0, bytes([0xC0 | channels[part][0], channels[part][1]])) for part in parts]
    for beat in range(int(seconds * bpm / 60)):
        for part in parts:
            channel, _, key = channels[part]
            pitch = key if part == "drums" else key + melody[beat % len(melody)]
            begin = round((beat + shift) * 480)
            events += [(begin, bytes([0x90 | channel, pitch, 100])), (begin + 400, bytes([0x80 | channel, pitch, 0]))]
    track, now = b"", 0
    for tick, message in sorted(events, key=lambda event: event[0]):
        delta, now = tick - now, tick
        track += (bytes([0x80 | delta >> 7, delta & 0x7F]) if delta > 127 else bytes([delta])) + message
    track += b"\x00\xff\x2f\x00"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"MThd" + (6).to_bytes(4, "big") + bytes([0, 0, 0, 1]) + (480).to_bytes(2, "big")
        + b"MTrk" + len(track).to_bytes(4, "big") + track
    )  # fmt: skip
    return path
