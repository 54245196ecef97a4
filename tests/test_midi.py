"""MIDI files: notes by stem, true beats, the choice of clips, near-duplicates, and FluidSynth's sound.

The files are put together byte by byte, so that no MIDI library decides what they mean.
"""

import io
import random
import shutil
import struct
import time
from pathlib import Path

import mido
import numpy as np
import pytest

from mtbench.errors import MtbenchError, UsageError
from mtbench.prepare import midi
from mtbench.prepare.midi import duplicates, rendering, selection, smf
from mtbench.prepare.midi.grid import share_on_grid, trusted
from mtbench.prepare.midi.synthesizer import Synthesizer, find_synthesizer

QUARTER = 480  # ticks
END = b"\xff\x2f\x00"
SECOND = 960  # ticks, at the default tempo of 120 quarter notes per minute


def number(value):
    data = [value & 0x7F]
    while value := value >> 7:
        data.append(0x80 | value & 0x7F)
    return bytes(reversed(data))


def track(*events, end=True):
    """Build a track from (tick, message), sorted by tick, the order at equal ticks being that of the arguments."""
    body, at = b"", 0
    for tick, message in sorted(events, key=lambda event: event[0]):
        body += number(tick - at) + message
        at = tick
    body += b"\x00" + END if end else b""
    return b"MTrk" + struct.pack(">I", len(body)) + body


def file(*tracks, kind=1, division=QUARTER):
    return b"MThd" + struct.pack(">IHHH", 6, kind, len(tracks), division) + b"".join(tracks)


def on(channel, key, velocity=100):
    return bytes([0x90 | channel, key, velocity])


def off(channel, key):
    return bytes([0x80 | channel, key, 0])


def note(channel, key, begin, end, velocity=100):
    return [(begin, on(channel, key, velocity)), (end, off(channel, key))]


def control(channel, number, value):
    return bytes([0xB0 | channel, number, value])


def programme(channel, number):
    return bytes([0xC0 | channel, number])


def bend(channel, value):
    return bytes([0xE0 | channel, value & 0x7F, value >> 7])


def tempo(microseconds):
    return b"\xff\x51\x03" + microseconds.to_bytes(3, "big")


def metre(numerator, power):
    return bytes([0xFF, 0x58, 4, numerator, power, 24, 8])


def summary(data):
    """Return (stem, tick, end tick, key) of all notes."""
    notes = midi.read(data).notes
    names = [*midi.STEMS, "other"]
    return [(names[n["stem"]], int(n["tick"]), int(n["end_tick"]), int(n["pitch"])) for n in notes]


def band(*arguments, **keywords):
    return file(track(*band_events(*arguments, **keywords)), kind=0)


def band_events(seconds=60, beat=QUARTER, transpose=0, seed=0, before=()):
    """Four stems on the grid, with a melody that depends on the seed."""
    generator = random.Random(seed)
    events = [*before, (0, programme(0, 33)), (0, programme(1, 26)), (0, programme(2, 0))]
    for start in range(0, seconds * SECOND, beat):
        events += note(9, 36, start, start + 20) + note(9, 42, start + beat // 2, start + beat // 2 + 20)
        events += note(0, 30 + transpose + generator.randrange(12), start, start + beat)
        events += note(1, 50 + transpose + generator.randrange(12), start, start + beat)
        events += note(2, 65 + transpose + generator.randrange(12), start + beat // 4, start + beat)
    return events


# ---- notes and stems


def test_a_programme_change_splits_a_channel_over_stems():
    events = [(0, programme(0, 33)), *note(0, 40, 0, 100), (200, programme(0, 4)), *note(0, 60, 200, 300)]
    expected = [("bass", 0, 100, 40), ("piano", 200, 300, 60)]
    assert summary(file(track(*events), kind=0)) == expected
    assert summary(file(track(*events))) == expected


def test_a_programme_from_another_track_counts():
    data = file(
        track((0, programme(3, 25)), (150, programme(3, 32))), track(*note(3, 50, 0, 50), *note(3, 51, 200, 250))
    )
    assert summary(data) == [("guitar", 0, 50, 50), ("bass", 200, 250, 51)]


def test_a_note_keeps_the_programme_of_its_onset():
    assert summary(file(track((0, programme(0, 24)), *note(0, 50, 0, 400), (100, programme(0, 0))))) == [
        ("guitar", 0, 400, 50)
    ]


def test_stems_are_general_midi_families_and_channel_10_is_drums():
    bounds = {0: "piano", 7: "piano", 8: "other", 23: "other", 24: "guitar", 31: "guitar", 32: "bass", 39: "bass"}
    for number_, stem in (bounds | {40: "other"}).items():
        assert summary(file(track((0, programme(5, number_)), *note(5, 60, 0, 10))))[0][0] == stem
    assert summary(file(track((0, programme(9, 32)), *note(9, 60, 0, 10))))[0][0] == "drums"
    assert summary(file(track(*note(5, 60, 0, 10))))[0][0] == "piano"  # without a programme, the first one


def test_running_status_goes_on_after_meta_events():
    body = (0, on(0, 60)), (10, bytes([60, 0])), (20, b"\xff\x01\x01x"), (30, bytes([62, 90])), (40, bytes([62, 0]))
    assert summary(file(track(*body))) == [("piano", 0, 10, 60), ("piano", 30, 40, 62)]


def test_notes_end_at_the_next_of_their_key_at_all_notes_off_or_at_the_end():
    data = file(
        track((0, on(0, 60)), (50, on(0, 60)), (80, off(0, 60)), (90, on(0, 61)), (95, on(1, 61)))[: -0 or None],
        track((120, control(0, 123, 0)), (200, control(5, 7, 100))),
    )
    assert summary(data) == [
        ("piano", 0, 50, 60),
        ("piano", 50, 80, 60),
        ("piano", 90, 120, 61),
        ("piano", 95, 200, 61),
    ]


def test_notes_of_zero_length_are_kept():
    assert summary(file(track(*note(9, 36, 10, 10), *note(9, 36, 20, 20)))) == [
        ("drums", 10, 10, 36),
        ("drums", 20, 20, 36),
    ]


def test_the_same_channel_of_two_ports_is_two_channels():
    def port(value):
        return (0, bytes([0xFF, 0x21, 1, value]))

    data = file(
        track(port(0), (0, programme(0, 33)), *note(0, 40, 10, 20)),
        track(port(1), (0, programme(0, 25)), *note(0, 50, 10, 20)),
    )
    assert [(stem, key) for stem, _, _, key in summary(data)] == [("bass", 40), ("guitar", 50)]


def test_a_bad_key_signature_and_unknown_events_change_nothing():
    events = [(0, b"\xff\x59\x02\x7f\xff"), (100, b"\xff\x60\x03abc"), (150, b"\xf0\x03\x01\x02\xf7")]
    assert summary(file(track(*events, *note(0, 60, 200, 300)))) == [("piano", 200, 300, 60)]


def test_chunks_and_headers_that_surround_a_midi_file_are_skipped():
    data = file(track(*note(0, 60, 5, 10)))
    strange = data[:14] + b"XFIH" + struct.pack(">I", 3) + b"abc" + data[14:]
    assert summary(b"RIFF1234RMIDdata1234" + strange + b"rubbish") == [("piano", 5, 10, 60)]


# ---- tempo and beats


def test_seconds_follow_every_tempo():
    tempi = track((480, tempo(1_000_000)), (960, tempo(0)), (1440, tempo(250_000)))
    notes = midi.read(file(tempi, track(*note(0, 60, 240, 480), *note(0, 61, 960, 2400)))).notes
    np.testing.assert_allclose(notes["onset"], [0.25, 1.5])  # 0.5 s, then 1 s per quarter; a tempo of 0 is ignored
    np.testing.assert_allclose(notes["end"], [0.5, 2.5 + 0.5])


def beats(events, start=0.0, end=100.0, ticks=4 * QUARTER):
    piece = midi.read(file(track(*events, *note(0, 60, 0, ticks))))
    return piece.tempo.beats(start, end)


def test_beats_are_quarters_of_4_4_without_a_time_signature():
    np.testing.assert_allclose(beats([], 0.9, 3.0), [[1.0, 3], [1.5, 4], [2.0, 1], [2.5, 2]])


@pytest.mark.parametrize(
    "signature, seconds, positions",
    [
        (metre(3, 2), 0.5, [1, 2, 3, 1]),  # 3/4
        (metre(5, 2), 0.5, [1, 2, 3, 4, 5, 1]),  # 5/4
        (metre(2, 1), 1.0, [1, 2, 1]),  # 2/2: halves
        (metre(6, 3), 0.75, [1, 2, 1]),  # 6/8: dotted quarters
        (metre(12, 3), 0.75, [1, 2, 3, 4, 1]),  # 12/8
        (metre(9, 4), 0.375, [1, 2, 3, 1]),  # 9/16: dotted eighths
        (metre(3, 3), 0.25, [1, 2, 3, 1]),  # 3/8: eighths
        (metre(7, 3), 0.25, [1, 2, 3, 4, 5, 6, 7, 1]),  # 7/8: eighths, because their grouping is unknown
        (metre(6, 2), 0.5, [1, 2, 3, 4, 5, 6, 1]),  # 6/4: quarters
        (metre(0, 2), 0.5, [1, 2, 3, 4, 1]),  # impossible: ignored
    ],
)
def test_beats_are_those_of_the_metre(signature, seconds, positions):
    result = beats([(0, signature)], end=seconds * len(positions) - 0.01)
    np.testing.assert_allclose(result[:, 0], seconds * np.arange(len(positions)))
    assert result[:, 1].tolist() == positions


def test_a_change_of_metre_begins_a_bar_but_a_repetition_does_not():
    changed = beats([(0, metre(4, 2)), (480, metre(4, 2)), (960, metre(3, 2))], end=3.9)
    assert changed[:, 1].tolist() == [1, 2, 1, 2, 3, 1, 2, 3]
    between = beats([(0, metre(4, 2)), (720, metre(3, 2))], end=2.0)  # in the middle of a beat
    np.testing.assert_allclose(between, [[0, 1], [0.5, 2], [0.75, 1], [1.25, 2], [1.75, 3]])


def test_beats_follow_the_tempo():
    result = beats([(480, tempo(1_000_000))], end=4.0)
    np.testing.assert_allclose(result[:, 0], [0, 0.5, 1.5, 2.5, 3.5])


def test_notes_on_the_grid_are_told_from_notes_beside_it():
    sixteenths, triplets = np.arange(0, 20, 0.25), np.arange(0, 20, 1 / 3)
    assert share_on_grid(np.concatenate([sixteenths, triplets])) == 1.0
    assert share_on_grid(sixteenths + 0.03) == 1.0  # 15 ms at 120 beats/min
    assert share_on_grid(sixteenths + 0.04) == 0.0
    assert share_on_grid(np.zeros(0)) == 0.0
    generator = np.random.default_rng(0)
    assert 0.4 < share_on_grid(generator.uniform(0, 1000, 2000)) < 0.6
    every_half_second = np.stack([np.arange(20) / 2, np.ones(20)], axis=1)
    assert trusted(sixteenths, every_half_second, 10.0)
    assert not trusted(sixteenths[:15], every_half_second, 10.0)  # too few to be sure
    assert not trusted(np.repeat(sixteenths[:15], 4), every_half_second, 10.0)  # chords count once
    assert not trusted(sixteenths, np.repeat(every_half_second, 3, axis=0), 10.0)  # 360 beats/min


# ---- broken and absurd files

GOOD = file(track(*note(0, 60, 0, 480)))


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "empty file"),
        (b"RIFF....WAVE", "not a MIDI file: no MThd header"),
        (b"MThd\x00\x00", "truncated in the header"),
        (GOOD[:-6], "truncated in track 1"),
        (GOOD[:14], "truncated: 0 of 1 tracks"),
        (file(track(*note(0, 60, 0, 9)), track(), kind=2), "MIDI file of type 2: its tracks do not belong together"),
        (file(track(), division=0), "0 ticks per quarter note"),
        (file(track(), division=0xE728), "time is in SMPTE frames, not in beats"),
        (file(track()), "no notes"),
        (file(track((0, bytes([60, 90])))), "track 1: event without a status byte at byte 23"),
        (file(track((0, b"\x90\x3c\x90"))), "track 1: invalid data byte at byte 25"),
        (file(track((0, b"\xf4"))), "track 1: unknown event 0xF4 at byte 23"),
        (file(track((0, b"\xff\x01\x7f"), end=False)), "track 1: its last event is longer than the track"),
        (file(track((0, b"\xf0\xff\xff\xff\xff\x7f"))), "number of more than four bytes at byte 24"),
        (b" " * smf.MOST_BYTES + GOOD, "larger than 1 MiB"),
        (file(track(*note(0, 60, 0, 0x0FFFFFFF))), "lasts 4660 minutes; at most 30 are accepted"),
    ],
)
def test_every_broken_file_has_its_reason(data, reason):
    with pytest.raises(midi.MidiError) as error:
        midi.read(data)
    assert str(error.value) == reason


def test_a_wrong_track_length_is_forgiven_if_the_track_is_complete():
    data = bytearray(GOOD)
    data[18:22] = struct.pack(">I", 1 << 30)
    assert summary(bytes(data)) == summary(GOOD)


def test_a_million_bars_cost_no_time():
    ticks = [0x0FFFFFFF] * 3
    events = [(sum(ticks[:index]), metre(1 + index, 2)) for index in range(4)]
    data = file(track((0, tempo(1)), *events, *note(0, 60, 0, sum(ticks))), division=1)
    begin = time.process_time()
    piece = midi.read(data)
    assert piece.duration == pytest.approx(sum(ticks) * 1e-6)
    assert len(piece.tempo.beats(0.0, piece.duration)) == 1000
    many = file(track(*((tick, metre(2 + tick % 2, 2)) for tick in range(50_000)), *note(0, 60, 0, 50_000)))
    assert len(midi.read(many).tempo.beats(0.0, 100.0)) == 1000
    assert time.process_time() - begin < 2.0


def test_damaged_files_raise_nothing_but_midi_errors():
    data, generator = band(12), random.Random(0)
    read = 0
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(generator.choice([1, 2, 10])):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        try:
            piece = midi.read(bytes(damaged))
            duplicates.fingerprint(piece)
            read += bool(selection.clips(piece))
        except midi.MidiError:
            pass
    assert read > 20


def test_notes_are_those_that_mido_reads():
    generator = random.Random(1)
    tracks = []
    for _ in range(5):
        events = []
        for tick in sorted(generator.randrange(5000) for _ in range(200)):
            channel, key = generator.randrange(16), generator.randrange(128)
            events.append((tick, generator.choice([on(channel, key), off(channel, key), control(channel, 7, key)])))
        tracks.append(track(*events))
    data = file(*tracks)
    expected = []
    for messages in mido.MidiFile(file=io.BytesIO(data)).tracks:
        tick = 0
        for message in messages:
            tick += message.time
            if message.type == "note_on":
                expected.append((tick, message.channel, message.note))
    notes = midi.read(data).notes
    assert sorted(zip(notes["tick"], notes["channel"], notes["pitch"])) == sorted(expected)


# ---- the choice of clips


def test_clips_are_apart_and_inside_the_piece():
    piece = midi.read(band(120))
    clips = selection.clips(piece)
    starts = [clip.start for clip in clips]
    assert [clip.number for clip in clips] == [0, 1, 2, 3]
    assert min(starts) >= 0 and max(starts) + 10.24 <= 120
    assert min(np.diff(starts)) >= 10.24 - 1e-9 and max(starts) - min(starts) > 50
    for clip in clips:
        assert clip.active == midi.STEMS and clip.on_grid == 1.0 and clip.metre == (4, 4)
        beats = np.arange(np.ceil(clip.start / 0.5), np.ceil((clip.start + 10.24) / 0.5))
        np.testing.assert_allclose(clip.beats, np.stack([beats * 0.5 - clip.start, beats % 4 + 1], axis=1), atol=1e-9)


def test_a_clip_off_the_grid_has_no_beats_but_is_kept():
    played = file(track(*((tick, message) for tick, message in free_band())), kind=0)
    (clip,) = selection.clips(midi.read(played))
    assert clip.beats is None and clip.on_grid < 0.9


def test_every_clip_is_checked_against_the_grid_for_itself():
    late = [event for start in range(0, 11 * SECOND, 240) for event in note(1, 50, start + 100, start + 200)]
    first, second = selection.clips(midi.read(file(track(*band_events(23)), track(*late))))
    assert first.beats is None and second.beats is not None


def free_band():
    generator = random.Random(3)
    yield from [(0, programme(0, 33)), (0, programme(1, 26))]
    for channel, key in ((0, 40), (1, 60), (9, 38)):
        at = 0
        while at < 12 * SECOND:
            yield from note(channel, key, at, at + 200)
            at += generator.randrange(300, 500)


def test_stems_must_sound_in_a_tenth_of_the_clip():
    def piece(seconds):
        events = [(0, programme(1, 26)), *note(1, 50, 0, 12 * SECOND), *note(2, 60, 0, 12 * SECOND)]
        events += note(0, 40, 5 * SECOND, int((5 + seconds) * SECOND))
        return midi.read(file(track((0, programme(0, 33)), *events), kind=0))

    (clip,) = selection.clips(piece(1.03))
    assert clip.active == ("bass", "guitar", "piano")
    with pytest.raises(midi.MidiError, match="^never 3 stems at the same time$"):
        selection.clips(piece(1.01))


def test_sounding_time_is_that_of_the_union_of_notes():
    piece = midi.read(file(track(*note(0, 60, 0, SECOND), *note(0, 62, 480, 1440), *note(0, 64, 2880, 2880))))
    starts = np.array([0.0, 1.0, 2.0, 20.0])
    # Sound in [0, 1.5] and, because every note rings, in [3, 3.2] s.
    np.testing.assert_allclose(selection._sounding(piece.of("piano"), starts), [1.7, 0.7, 0.2, 0.0], atol=1e-9)


@pytest.mark.parametrize(
    "data, reason",
    [
        (GOOD, "stems: piano; at least 3 of bass, drums, guitar, piano needed"),
        (
            file(track((0, programme(0, 60)), *note(0, 60, 0, 9))),
            "stems: none; at least 3 of bass, drums, guitar, piano needed",
        ),
        (band(5), "lasts 5.0 s; a clip has 10.24 s"),
        (b"no", "not a MIDI file: no MThd header"),
    ],
)
def test_a_file_without_clips_is_dropped_with_a_reason(tmp_path, data, reason):
    (tmp_path / "a.mid").write_bytes(data)
    assert midi.examine(tmp_path / "a.mid") == midi.Dropped(tmp_path / "a.mid", reason)


def test_a_file_that_cannot_be_read_is_dropped(tmp_path):
    assert midi.examine(tmp_path / "b.mid") == midi.Dropped(
        tmp_path / "b.mid", "cannot be read (No such file or directory)"
    )


def examined(folder, **files):
    for name, data in files.items():
        (folder / name).write_bytes(data)
    results = [midi.examine(folder / name) for name in files]
    assert all(isinstance(result, midi.Examined) for result in results)
    return results


def test_content_decides_on_split_order_and_clips_but_names_do_not(tmp_path):
    first, second = examined(tmp_path, a=band(40), z=band(40))
    assert (first.digest, first.split) == (second.digest, second.split)
    assert [clip.start for clip in first.clips] == [clip.start for clip in second.clips]
    pieces = examined(tmp_path, **{f"{seed}": band(20, seed=seed) for seed in range(5)})
    kept, dropped = midi.without_duplicates(pieces)
    assert [piece.digest for piece in kept] == sorted(piece.digest for piece in pieces) and not dropped


def test_splits_have_their_shares():
    digests = [f"{(2 * index + 1) * 2**256 // 2000:064x}" for index in range(1000)]
    shares = [sum(selection.split(digest) == name for digest in digests) for name in midi.SPLITS]
    assert shares == [800, 100, 100]
    assert selection.split("f" * 64) == "test"


# ---- near-duplicates


def test_transposed_and_faster_copies_are_near_duplicates(tmp_path):
    original, higher = band(40, seed=1), band(40, seed=1, transpose=2)
    faster = band(40, seed=1, before=[(0, tempo(400_000))])
    pieces = examined(tmp_path, original=original, higher=higher, faster=faster, another=band(40, seed=2))
    kept, dropped = midi.without_duplicates(pieces)
    assert len(kept) == 2 and tmp_path / "another" in [piece.path for piece in kept]
    (twin,) = (piece.path for piece in kept if piece.path.name != "another")
    assert {drop.reason for drop in dropped} == {f"near-duplicate of {twin}"}
    assert midi.without_duplicates(pieces[::-1])[0] == kept


def test_signatures_estimate_the_jaccard_similarity():
    generator = np.random.default_rng(0)
    values = generator.integers(0, 2**63, 3000, dtype=np.uint64)
    for shared in (0, 1000, 2000):
        a, b = values[:2000], values[2000 - shared : 4000 - shared]
        estimate = np.mean(duplicates.signature(a) == duplicates.signature(b))
        assert estimate == pytest.approx(shared / len(np.union1d(a, b)), abs=0.1)


def test_the_highest_notes_count_and_drums_do_not():
    def piece(low, drum):
        events = [(480 * i, on(0, 60 + (5 * i) % 7)) for i in range(20)] + [(480 * i, on(0, low)) for i in range(20)]
        return midi.read(file(track(*events, *((480 * i, on(9, drum)) for i in range(20)))))

    assert len(duplicates.ngrams(piece(40, 36))) == 7  # the melody repeats after 7 notes
    np.testing.assert_array_equal(duplicates.ngrams(piece(40, 36)), duplicates.ngrams(piece(45, 38)))
    assert not len(duplicates.ngrams(midi.read(GOOD))) and not len(duplicates.fingerprint(midi.read(GOOD)))


# ---- the MIDI files of stems


def stem_events(data, stem, start):
    rendered = smf.events(rendering.stem_file(midi.read(data), stem, start))
    assert rendered.division == 10_000 and rendered.tempos == [(0, 1_000_000)]  # 0.1 ms per tick
    return [(tick, kind | channel, a, b) for tick, channel, kind, a, b in rendered.messages.tolist()]


def test_a_stem_has_its_notes_and_its_channels_controls():
    data = file(
        track(
            (0, programme(4, 33)),
            (0, control(4, 7, 90)),
            (0, control(5, 7, 10)),
            *note(4, 40, 3 * SECOND, 4 * SECOND, 77),
            (5 * SECOND, programme(4, 0)),
            *note(4, 60, 5 * SECOND, 6 * SECOND),
        )
    )
    assert stem_events(data, "bass", 2.0) == [
        (0, 0xC0, 33, 0),
        (0, 0xB0, 7, 90),
        (25_000, 0x90, 40, 77),
        (35_000, 0x80, 40, 64),
        (45_000, 0xC0, 0, 0),
        (117_900, 0xB0, 120, 0),
    ]
    assert rendering.stem_file(midi.read(data), "guitar", 2.0) is None
    assert rendering.stem_file(midi.read(data), "bass", 6.0) is None  # ends before the pre-roll


def test_what_is_in_force_at_the_preroll_is_chased():
    data = file(
        track(
            *((tick, control(0, 11, 20 + tick // 100)) for tick in range(0, 500, 100)),
            (0, programme(0, 1)),
            (10, programme(0, 2)),
            *((20, message) for message in (control(0, 101, 0), control(0, 100, 0), control(0, 6, 12))),
            *((25, message) for message in (control(0, 101, 127), control(0, 100, 127))),
            (30, bend(0, 9000)),
            (40, bend(0, 10_000)),
            *note(0, 60, 50, 20 * SECOND, 70),
            (9 * SECOND, control(0, 11, 99)),
        )
    )
    assert stem_events(data, "piano", 10.0) == [
        (0, 0xC0, 2, 0),
        (0, 0xB0, 101, 0),
        (0, 0xB0, 100, 0),
        (0, 0xB0, 6, 12),  # the bend range; the last values alone would not set it
        (0, 0xB0, 101, 127),
        (0, 0xB0, 100, 127),
        (0, 0xE0, 10_000 & 0x7F, 10_000 >> 7),
        (0, 0x90, 60, 70),  # began before the pre-roll, and still sounds
        (0, 0xB0, 11, 24),
        (5_000, 0xB0, 11, 99),
        (115_000, 0x80, 60, 64),
        (117_900, 0xB0, 120, 0),
    ]


def test_a_drum_that_was_struck_before_the_preroll_is_not_struck_again():
    data = file(track(*note(9, 49, SECOND, 30 * SECOND), *note(9, 36, 9 * SECOND, 9 * SECOND + 96)))
    assert stem_events(data, "drums", 5.0) == [
        (55_000, 0x99, 36, 100),
        (56_000, 0x89, 36, 64),
        (117_900, 0xB9, 120, 0),
    ]


def test_channels_of_two_ports_are_kept_apart_and_drums_share_one():
    ports = [(0, bytes([0xFF, 0x21, 1, 1]))]
    data = file(
        track((0, programme(0, 33)), *note(0, 40, 0, 480), *note(9, 36, 0, 480)),
        track(*ports, (0, programme(0, 34)), *note(0, 41, 0, 480), *note(9, 38, 0, 480)),
    )
    statuses = {status for status, *_ in (event[1:] for event in stem_events(data, "bass", 1.5)) if status < 0xB0}
    assert statuses == {0x80, 0x90, 0x81, 0x91}
    assert {event[1] for event in stem_events(data, "drums", 1.5)} == {0x89, 0x99, 0xB9}


# ---- FluidSynth


def test_a_missing_program_or_sound_font_is_named_with_its_remedy(tmp_path, monkeypatch):
    program = tmp_path / "fluidsynth"
    program.write_text("#!/bin/sh\necho FluidSynth runtime version 2.3.1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(
        UsageError, match="^fluidsynth: not found on the PATH. .*apt-get install fluidsynth fluid-sound"
    ):
        find_synthesizer()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="^no General MIDI sound font in /nowhere. .*brew install fluid-synth.*conda"):
        find_synthesizer(folders=["/nowhere"])
    with pytest.raises(UsageError, match="absent.sf2: cannot be read .No such file or directory.$"):
        find_synthesizer(tmp_path / "absent.sf2")
    with pytest.raises(UsageError, match="fluidsynth: not a sound font"):
        find_synthesizer(program)
    (tmp_path / "TimGM6mb.sf2").write_bytes(b"RIFF1234sfbk")
    found = find_synthesizer(folders=["/nowhere", str(tmp_path)])
    assert (found.version, found.font) == ("2.3.1", tmp_path / "TimGM6mb.sf2")
    program.write_text("#!/bin/sh\necho FluidSynth version 1.1.11\n")
    with pytest.raises(UsageError, match="is version 1.1.11; 2.0 or newer is needed"):
        find_synthesizer()


def test_a_program_that_fails_is_named(tmp_path):
    program = tmp_path / "fluidsynth"
    program.write_text("#!/bin/sh\necho fluidsynth: error: no such thing >&2\nexit 3\n")
    program.chmod(0o755)
    broken = Synthesizer(str(program), "2.3.1", tmp_path / "font.sf2", "00")
    with pytest.raises(MtbenchError, match="failed with status 3: fluidsynth: error: no such thing$"):
        broken.render(GOOD)
    program.write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(MtbenchError, match="cannot render with .*font.sf2: no audio$"):
        broken.render(GOOD)


def test_the_version_depends_on_file_font_and_program():
    base = Synthesizer("fluidsynth", "2.3.1", Path("a.sf2"), "aa")
    others = [Synthesizer("fluidsynth", "2.3.2", Path("a.sf2"), "aa"), Synthesizer("f", "2.3.1", Path("a.sf2"), "ab")]
    versions = {midi.rendering_version("d1", base), midi.rendering_version("d2", base)}
    versions |= {midi.rendering_version("d1", other) for other in others}
    assert len(versions) == 4 and all(len(version) == 16 for version in versions)
    elsewhere = Synthesizer("/bin/f", "2.3.1", Path("b.sf2"), "aa")
    assert midi.rendering_version("d1", elsewhere) == midi.rendering_version("d1", base)


@pytest.fixture(scope="module")
def synthesizer():
    if shutil.which("fluidsynth") is None:
        pytest.skip("needs FluidSynth")
    try:
        return find_synthesizer()
    except UsageError as error:
        pytest.skip(str(error))


def sound(synthesizer, data, stem, start):
    """Return a stem of the clip at `start` s, float [163840]."""
    return rendering._inside(synthesizer.render(rendering.stem_file(midi.read(data), stem, start)))


def rms(wave):
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def test_drums_sound_at_their_times(synthesizer):
    generator = random.Random(5)
    times = [index + generator.uniform(0.0, 0.4) for index in range(2, 11)]
    hits = [event for at in times for event in note(9, 75, round(at * 10_000), round(at * 10_000) + 100, 127)]
    data = file(track((0, tempo(1_000_000)), *hits), division=10_000)
    wave = np.abs(sound(synthesizer, data, "drums", 1.5))
    for at in times:
        begin = round((at - 1.5 - 0.1) * 16000)
        window = wave[begin : begin + 3200]
        onset = begin / 16000 + np.argmax(window > 0.1 * window.max()) / 16000
        assert abs(onset - (at - 1.5)) < 0.005


def test_the_first_beat_of_a_clip_is_not_cut(synthesizer):
    data = file(track(*note(9, 75, 2 * SECOND, 2 * SECOND + 10, 127)))
    wave = np.abs(sound(synthesizer, data, "drums", 2.0))
    assert np.argmax(wave > 0.1 * wave.max()) < 80


def test_notes_that_began_before_the_clip_sound_at_its_start(synthesizer):
    held = sound(synthesizer, file(track((0, programme(0, 33)), *note(0, 40, SECOND, 30 * SECOND))), "bass", 8.0)
    within = sound(synthesizer, file(track((0, programme(0, 33)), *note(0, 40, 7 * SECOND, 30 * SECOND))), "bass", 8.0)
    assert rms(held[:1600]) > 1e-3 and rms(within[:1600]) > 1e-3


def test_a_note_that_never_ends_does_not_keep_fluidsynth_going(synthesizer):
    wave = synthesizer.render(rendering.stem_file(midi.read(HELD), "guitar", 2.0))
    assert 11.7 < len(wave) / 44100 < 15  # FluidSynth adds 2 s


HELD = file(track((0, programme(0, 29)), (0, on(0, 50)), (100 * SECOND, control(0, 7, 100))))


@pytest.mark.parametrize("number_, name", [(7, "volume"), (11, "expression")])
def test_volume_and_expression_act(synthesizer, number_, name):
    def level(value):
        events = [(0, programme(0, 29)), (5, control(0, number_, value)), *note(0, 50, 10, 20 * SECOND)]
        return rms(sound(synthesizer, file(track(*events)), "guitar", 5.0))

    assert level(100) / level(50) == pytest.approx(4.0, rel=0.05)  # amplitude goes with the square, by General MIDI


def test_a_pitch_bend_from_long_before_acts(synthesizer):
    def cycles(value):
        events = [(0, programme(0, 29)), (5, bend(0, value)), *note(0, 60, 10, 20 * SECOND)]
        wave = sound(synthesizer, file(track(*events)), "guitar", 5.0)[:65536]
        return np.argmax(np.abs(np.fft.rfft(wave * np.hanning(len(wave))))[500:1500]) + 500  # 122 to 366 Hz

    assert cycles(8192 + 4096) / cycles(8192) == pytest.approx(2 ** (1 / 12), rel=2e-3)  # half of two semitones


def test_a_clip_is_deterministic_and_its_sum_peaks_below_full_scale(synthesizer):
    piece = midi.read(band(20))
    (clip,) = selection.clips(piece)
    first, second = (midi.render(piece, clip, synthesizer) for _ in range(2))
    assert first.live == midi.STEMS and first.gain == second.gain
    for stem in midi.STEMS:
        assert first.stems[stem].dtype == np.int16 and first.stems[stem].shape == (163840,)
        assert first.stems[stem].tobytes() == second.stems[stem].tobytes()
    mixture = np.sum(list(first.stems.values()), axis=0, dtype=np.int32)
    peak = max(np.abs(wave.astype(np.int32)).max() for wave in (mixture, *first.stems.values()))
    assert 20 * np.log10(peak / 32768) == pytest.approx(-1.0, abs=0.01)


def test_a_stem_without_notes_is_silent(synthesizer):
    piece = midi.read(band(20).replace(programme(2, 0), programme(2, 48)))  # strings instead of the piano
    (clip,) = selection.clips(piece)
    rendered = midi.render(piece, clip, synthesizer)
    assert clip.active == rendered.live == ("bass", "drums", "guitar")
    assert rendered.stems["piano"].shape == (163840,) and not rendered.stems["piano"].any()


def test_a_clip_whose_stems_are_not_heard_is_refused(synthesizer):
    muted = midi.read(band(20, before=[(0, control(1, 7, 0)), (0, control(2, 7, 0))]))
    (clip,) = selection.clips(muted)
    with pytest.raises(midi.MidiError, match="silent when rendered: guitar, piano$"):
        midi.render(muted, clip, synthesizer)
