// Plays the stems in step: all are started at the same instant of one audio clock, and the mixture is their sum.
"use strict";
{
  const player = document.querySelector(".player");
  const lanes = [...player.querySelectorAll(".lane[data-stem]")];
  const play = player.querySelector(".play"), seek = player.querySelector(".seek");
  const now = player.querySelector(".now"), status = player.querySelector(".status");
  const length = Number(player.dataset.seconds);
  const packed = new Map(); // {name: FLAC in base64}
  let context = null, buffers = null, gains = [], sources = [], startedAt = 0, offset = 0, playing = false, loading = false;

  window.mtbenchAudio = (name, text) => packed.set(name, text);

  const load = (name) => packed.has(name) ? Promise.resolve() : new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = `${player.dataset.root}audio/${name}.js`;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`audio/${name}.js cannot be loaded`));
    document.body.append(script);
  });

  async function prepare() {
    status.textContent = `Loading ${lanes.length} stems`;
    context = new AudioContext();
    await Promise.all(lanes.map((lane) => load(lane.dataset.audio)));
    buffers = await Promise.all(lanes.map((lane) => {
      const bytes = Uint8Array.from(atob(packed.get(lane.dataset.audio)), (letter) => letter.charCodeAt(0));
      return context.decodeAudioData(bytes.buffer);
    }));
    gains = lanes.map(() => { const gain = context.createGain(); gain.connect(context.destination); return gain; });
    status.textContent = "";
    balance();
  }

  const pressed = (lane, name) => lane.querySelector(`.${name}`).getAttribute("aria-pressed") === "true";

  function balance() {
    const solo = lanes.some((lane) => pressed(lane, "solo"));
    lanes.forEach((lane, i) => {
      const heard = solo ? pressed(lane, "solo") : !pressed(lane, "mute");
      lane.classList.toggle("silent", !heard);
      if (gains[i]) gains[i].gain.setTargetAtTime(heard ? 1 : 0, context.currentTime, 0.01);
    });
  }

  const position = () => playing ? Math.min(Math.max(context.currentTime - startedAt, 0) , length) : offset;

  function start() {
    const at = context.currentTime + 0.03;
    sources = buffers.map((buffer, i) => {
      const source = context.createBufferSource();
      source.buffer = buffer;
      source.connect(gains[i]);
      source.start(at, offset);
      return source;
    });
    startedAt = at - offset;
    playing = true;
    player.classList.add("started");
    play.textContent = "Pause";
    requestAnimationFrame(frame);
  }

  function stop(at) {
    for (const source of sources) source.stop();
    sources = [];
    offset = at;
    playing = false;
    play.textContent = "Play";
    draw();
  }

  function draw() {
    const at = position();
    now.textContent = `${Math.floor(at / 60)}:${(at % 60).toFixed(1).padStart(4, "0")}`;
    seek.value = at;
    seek.setAttribute("aria-valuetext", `${at.toFixed(1)} seconds`);
    for (const line of player.querySelectorAll(".head-line")) line.style.left = `${at / length * 100}%`;
  }

  function frame() {
    if (!playing) return;
    if (position() >= length) return stop(0);
    draw();
    requestAnimationFrame(frame);
  }

  async function toggle() {
    if (loading) return;
    if (playing) return stop(position());
    try {
      loading = true;
      if (!buffers) await prepare();
      await context.resume();
      start();
    } catch (error) {
      status.textContent = `Cannot play: ${error.message}`;
    } finally {
      loading = false;
    }
  }

  function goTo(at) {
    const was = playing;
    if (was) stop(at); else { offset = at; player.classList.add("started"); draw(); }
    if (was) start();
  }

  function press(lane, name) {
    const button = lane.querySelector(`.${name}`);
    button.setAttribute("aria-pressed", String(!pressed(lane, name)));
    balance();
  }

  play.addEventListener("click", toggle);
  seek.addEventListener("input", () => goTo(Number(seek.value)));
  for (const picture of player.querySelectorAll(".picture"))
    picture.addEventListener("click", (event) => {
      const box = picture.getBoundingClientRect();
      goTo(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 0.999) * length);
    });
  for (const lane of lanes)
    for (const name of ["mute", "solo"]) lane.querySelector(`.${name}`).addEventListener("click", () => press(lane, name));
  player.querySelector(".all").addEventListener("click", () => {
    for (const button of player.querySelectorAll("[aria-pressed]")) button.setAttribute("aria-pressed", "false");
    balance();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const lane = event.target.closest?.(".lane[data-stem]");
    if (lane && (event.key === "m" || event.key === "s")) press(lane, event.key === "m" ? "mute" : "solo");
    else if (event.key === " " && !event.target.closest?.("button, a, input, summary")) toggle();
    else return;
    event.preventDefault();
  });
  for (const control of player.querySelectorAll("button, input")) control.disabled = false;
}
