// The board: another setting in place, sorting, filters; what is shown stands in the address, so that a view can be linked.
// Data comes from data/board-*.js, which a page opened from disk may load, a file a table and set of given stems; texts from it
// only ever become text nodes.
"use strict";
{
  const SETTINGS = ["given", "timebase", "fps", "transition_lambda", "window", "fad"];
  const LABELS = { run: "Run", given: "Given stems", timebase: "Timebase", fps: "Frames/s", transition_lambda: "Transition lambda",
    window: "CBS window", fad: "FAD embedding, reference" };
  const VIEWS = { summary: "Summary", fad: "FAD by stem", irs: "IRS by stem", tuning: "Tuning", sync: "CBS, CBD", everything: "All" };
  const KINDS = ["measured", "embedded", "control", "reported"];
  const sections = [...document.querySelectorAll(".board")];
  const boards = new Map();
  const state = new URLSearchParams(location.hash.slice(1));

  window.mtbenchBoard = (board) => {
    Object.assign(board, { found: new Map(), rhythm: new Set(), uses: SETTINGS.map(() => new Set()), held: new Set() });
    boards.set(board.slug, board);
    add(board, board.standard.given, board.scores);
  };
  window.mtbenchScores = ({ slug, given, scores }) => add(boards.get(slug), given, scores);

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (value === true) made.setAttribute(key, "");
      else if (value !== false && value != null) made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  };

  // Scores beside some given stems, by the indices of row, column and setting.
  function add(board, given, scores) {
    for (const score of scores) {
      board.found.set(score.slice(0, 8).join(), score.slice(8));
      if (score[3] >= 0) board.rhythm.add(score[1]);
      SETTINGS.forEach((_, i) => { if (score[i + 2] >= 0) board.uses[i].add(score[1]); });
    }
    board.held.add(given);
  }

  const load = (section, file, then) => document.body.append(element("script", { src: `data/board-${file}.js`, onload: then,
    onerror: () => section.querySelector(".setting").textContent = `It cannot be shown: data/board-${file}.js cannot be loaded. The table is as it was.` }));

  const text = (board, name, index) => {
    const value = name === "run" ? (index < 0 ? "all runs" : board.runs[index]) : board.settings[name][index];
    if (name === "timebase") return value === "true" ? "true seconds" : "published";
    if (name === "given") return value === "" ? "nothing" : value;
    if (name === "window") return `${value} s`;
    return String(value);
  };

  // The index chosen for each setting: that in the address, or the standard one.
  function chosen(board) {
    const made = {};
    for (const name of ["run", ...SETTINGS]) {
      const values = name === "run" ? board.runs : board.settings[name];
      const wanted = values.findIndex((value) => String(value) === state.get(name));
      made[name] = state.get(name) === "*" && name === "run" ? -1 : wanted >= 0 ? wanted : board.standard[name];
    }
    return made;
  }

  function view(board) {
    const at = chosen(board);
    const selected = VIEWS[state.get("view")] ? state.get("view") : "summary";
    const score = (row, column) => {
      const key = [row, column, ...SETTINGS.map((name, i) => board.uses[i].has(column) ? at[name] : -1)];
      return board.found.get(key.join());
    };
    const columns = board.columns.map((_, c) => c).filter((c) => board.columns[c].views.includes(selected));
    const rows = board.rows.map(([model, run, kind, note, page], row) => ({ row, model, run, kind, note, page,
      scores: new Map(columns.map((c) => [c, score(row, c)])) }))
      .filter((line) => (line.run < 0 || at.run < 0 || line.run === at.run) && columns.some((c) => line.scores.get(c)?.[0] != null));
    const measured = rows.filter((line) => line.kind === "measured" || line.kind === "embedded");
    let lead = board.columns.findIndex((column) => column.title === state.get("sort"));
    const asked = columns.includes(lead);
    if (!asked) lead = columns.find((c) => board.columns[c].direction && rows.some((line) => line.run >= 0 && line.scores.get(c)?.[0] != null)) ?? -1;
    const byName = state.get("sort") === "model" || lead < 0;
    const natural = byName || board.columns[lead]?.direction <= 0 ? "asc" : "desc";
    // A direction is of the column that it was asked for: another one, in a view without that, is in its own.
    const order = (asked || state.get("sort") === "model") ? state.get("dir") ?? natural : natural;
    const sign = order === "asc" ? 1 : -1;
    const value = (line) => line.scores.get(lead)?.[0] ?? null;
    rows.sort((a, b) => {
      const names = a.model < b.model ? -1 : a.model > b.model ? 1 : a.row - b.row;
      if (byName) return sign * names;
      // Papers take over each other's numbers: reported ones are in order only where somebody asks.
      if (!asked && a.kind === "reported" && b.kind === "reported") return names;
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null) || names;
      return sign * (x - y) || names;
    });
    // All runs together have no ranks, and nothing bold: models of two runs were never compared.
    const ranked = at.run >= 0 || board.runs.length < 2;
    const scales = new Map(columns.map((c) => {
      const competing = measured.map((line) => line.scores.get(c)).filter((found) => found && found[0] != null);
      const numbers = competing.flatMap((found) => found.slice(0, 3)).filter((number) => number != null);
      const [low, high] = numbers.length ? [Math.min(...numbers), Math.max(...numbers)] : [0, 1];
      const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
      return [c, { low: low - room, high: high + room }];
    }));
    // FAD falls as clips are added: where all runs stand together, those of other numbers of clips say theirs.
    const counted = new Set(at.run >= 0 ? [] : columns.filter((c) => board.columns[c].metric === "fad" &&
      new Set(rows.map((line) => line.scores.get(c)?.[4]).filter((scored) => scored != null)).size > 1));
    return { at, selected, columns, rows, lead: byName ? -1 : lead, order, natural, ranked, scales, counted };
  }

  function cell(board, shown, line, c) {
    const found = line.scores.get(c);
    if (!found || found[0] == null) return element("td", { class: "none" }, "–");
    const [value, low, high, , , rank] = found;
    const { digits } = board.columns[c];
    const scale = shown.scales.get(c);
    const competes = line.kind === "measured" || line.kind === "embedded";
    const best = competes && shown.ranked && rank === 1;
    const made = element("td", best ? { class: "best" } : {}, element("span", { class: "value" }, value.toFixed(digits)));
    if (line.kind === "reported") return made;
    const percent = (number) => Math.min(Math.max((number - scale.low) / (scale.high - scale.low), 0), 1) * 100;
    const whisker = element("span", { class: "whisker", "aria-hidden": "true" });
    if (low != null && high != null) {
      const interval = element("i");
      interval.style.left = `${percent(low)}%`;
      interval.style.width = `${percent(high) - percent(low)}%`;
      whisker.append(interval);
    }
    const dot = element("b");
    dot.style.left = `${percent(value)}%`;
    whisker.append(dot);
    made.append(whisker);
    if (low != null && high != null) made.append(element("small", {}, `${low.toFixed(digits)} to ${high.toFixed(digits)}`));
    if (shown.counted.has(c)) made.append(element("small", {}, `n = ${found[4]}`));
    return made;
  }

  // Of the column sorted by, or else the first that has counts.
  function coverage(shown, line) {
    for (const c of [shown.lead, ...shown.columns]) {
      const found = line.scores.get(c);
      if (found && found[3] != null) return `${found[4]}/${found[3]}`;
    }
    return "–";
  }

  function head(board, shown, section) {
    const sort = (key, natural) => () => {
      const current = key === "model" ? shown.lead === -1 : board.columns[shown.lead]?.title === key;
      state.set("sort", key);
      const next = current ? (shown.order === "asc" ? "desc" : "asc") : natural;
      state.set("dir", next);
      show(section, key);
    };
    const direction = shown.order === "asc" ? "ascending" : "descending";
    const row = element("tr", {}, element("th", { scope: "col", class: "rank" }, "Rank"),
      element("th", { scope: "col", class: "model", "aria-sort": shown.lead === -1 && direction },
        element("button", { type: "button", class: "sort", "data-sort": "model", onclick: sort("model", "asc") }, "Model")));
    for (const c of shown.columns) {
      const column = board.columns[c];
      const words = [{ "-1": "lower better", 1: "higher better", 0: "share" }[column.direction], column.unit].filter(Boolean).join(", ");
      row.append(element("th", { scope: "col", "aria-sort": shown.lead === c && direction },
        element("button", { type: "button", class: "sort", "data-sort": column.title, onclick: sort(column.title, column.direction > 0 ? "desc" : "asc") }, column.title),
        element("button", { type: "button", class: "what", popovertarget: `def-${column.metric}`, "aria-label": `What ${column.title} is` }, "?"),
        element("small", {}, words)));
    }
    row.append(element("th", { scope: "col" }, element("span", { class: "head" }, "Scored"), element("small", {}, "of clips")));
    return element("thead", {}, row);
  }

  function body(board, shown, reported) {
    const lines = shown.rows.filter((line) => (line.kind === "reported") === reported);
    const made = element("tbody", { class: reported ? "reported" : "measured" });
    if (!lines.length) return null;
    if (reported) made.append(element("tr", { class: "divider" }, element("th", { scope: "rowgroup", colspan: 2 }, "Reported in papers, not ranked"),
      element("td", { colspan: shown.columns.length + 1 })));
    const rank = (line) => shown.ranked && shown.lead >= 0 ? line?.scores.get(shown.lead)?.[5] ?? null : null;
    const ranked = lines.filter((line) => rank(line) != null);
    for (const line of lines) {
      const place = ranked.indexOf(line);
      const mine = rank(line);
      const above = mine != null && rank(ranked[place - 1]) === mine;
      const below = mine != null && rank(ranked[place + 1]) === mine;
      const names = [line.kind, above || below ? "tie" : "", below && !above ? "tie-first" : "", above && !below ? "tie-last" : ""];
      const name = line.page ? element("a", { href: line.page }, line.model) : element("span", {}, line.model);
      const model = element("th", { scope: "row", class: "model" }, name, element("span", { class: `badge ${line.kind}` }, line.kind));
      if (shown.at.run < 0 && line.run >= 0) model.append(element("small", {}, `run ${board.runs[line.run]}`));
      if (line.note) model.append(element("small", {}, line.kind === "embedded" ? `trained on ${line.note}` : line.note));
      made.append(element("tr", { class: names.filter(Boolean).join(" "), "data-model": line.model, "data-kind": line.kind },
        element("td", { class: "rank" }, mine == null ? "–" : (above || below ? "=" : "") + mine), model,
        ...shown.columns.map((c) => cell(board, shown, line, c)), element("td", { class: "coverage" }, coverage(shown, line))));
    }
    return made;
  }

  function filter(section) {
    const hidden = (state.get("hide") ?? "").split(",");
    const wanted = (state.get("q") ?? "").trim().toLowerCase();
    let count = 0, all = 0;
    for (const row of section.querySelectorAll("tbody tr[data-model]")) {
      row.hidden = hidden.includes(row.dataset.kind) || !row.dataset.model.toLowerCase().includes(wanted);
      count += !row.hidden;
      all += 1;
    }
    for (const divider of section.querySelectorAll(".divider"))
      divider.hidden = ![...divider.parentNode.querySelectorAll("tr[data-model]")].some((row) => !row.hidden);
    return count === all ? "" : ` · ${count} of ${all} rows`;
  }

  function tools(board, section) {
    const shown = view(board);
    const set = (name, value, focus) => { value == null ? state.delete(name) : state.set(name, value); show(section, focus); };
    const segments = (label, options) => element("div", { class: "field", role: "group", "aria-label": label }, element("span", { "aria-hidden": "true" }, label),
      element("div", { class: "segments" }, ...options.map(([name, pressed, act, key]) =>
        element("button", { type: "button", "aria-pressed": String(pressed), "data-key": key, onclick: act }, name))));
    const fields = [];
    fields.push(segments("Columns", Object.entries(VIEWS).filter(([key]) => board.columns.some((column) => column.views.includes(key)))
      .map(([key, name]) => [name, shown.selected === key, () => set("view", key, `view-${key}`), `view-${key}`])));
    if (board.settings.timebase.length > 1) fields.push(segments("Timebase", board.settings.timebase.map((base, i) => [text(board, "timebase", i), shown.at.timebase === i,
      () => set("timebase", base, `timebase-${base}`), `timebase-${base}`])));
    for (const name of ["run", "given", "fps", "transition_lambda", "window", "fad"]) {
      const values = name === "run" ? board.runs : board.settings[name];
      if (values.length < 2) continue;
      const select = element("select", { "data-key": name, onchange: (event) => set(name, event.target.value, name) },
        ...values.map((value, i) => element("option", { value, selected: shown.at[name] === i }, text(board, name, i))));
      if (name === "run") select.append(element("option", { value: "*", selected: shown.at.run < 0 }, "all runs, no ranks"));
      fields.push(element("label", { class: "field" }, element("span", {}, LABELS[name]), select));
    }
    const hidden = new Set((state.get("hide") ?? "").split(",").filter(Boolean));
    const kinds = KINDS.filter((kind) => board.rows.some((row) => row[2] === kind));
    if (kinds.length > 1) fields.push(segments("Show", kinds.map((kind) => [kind, !hidden.has(kind), () => {
      hidden.has(kind) ? hidden.delete(kind) : hidden.add(kind);
      set("hide", hidden.size ? [...hidden].join() : null, `kind-${kind}`);
    }, `kind-${kind}`])));
    fields.push(element("label", { class: "field" }, element("span", {}, "Find a model"), element("input", { type: "search", "data-key": "q", value: state.get("q") ?? "",
      oninput: (event) => { event.target.value ? state.set("q", event.target.value) : state.delete("q"); store(); settle(section, board, view(board)); } })));
    const open = section.querySelector(".tools details")?.open ?? matchMedia("(min-width: 48rem)").matches;
    section.querySelector(".tools").replaceChildren(element("details", { open }, element("summary", {}, "Settings and filters"), element("div", { class: "fields" }, ...fields)));
  }

  // The setting in words, the rows that pass the filters.
  function settle(section, board, shown) {
    const at = shown.at, words = [];
    if (board.settings.given.length > 1) words.push(`given ${text(board, "given", at.given)}`);
    if (board.settings.timebase.length) words.push(board.settings.timebase[at.timebase] === "true" ? "true seconds" : "published timebase", `${text(board, "fps", at.fps)} fps`,
      `lambda ${text(board, "transition_lambda", at.transition_lambda)}`);
    if (board.settings.window.length) words.push(`window ${text(board, "window", at.window)}`);
    if (board.settings.fad.length) words.push(`FAD on ${text(board, "fad", at.fad)}`);
    if (board.runs.length > 1) words.push(at.run < 0 ? "all runs" : `run ${text(board, "run", at.run)}`);
    const rhythm = shown.columns.filter((c) => board.rhythm.has(c));
    const missing = rhythm.length && !shown.rows.some((line) => rhythm.some((c) => line.scores.get(c)));
    const passed = filter(section);
    if (!board.held.has(at.given)) return; // the table is still of other scores
    section.querySelector(".setting").textContent = words.join(" · ") + passed + (missing ? " · no rhythm scores at this setting" : "");
  }

  function store() {
    history.replaceState(null, "", `#${state}`);
  }

  function show(section, focus) {
    const board = boards.get(section.dataset.slug);
    state.set("table", board.slug);
    store();
    const { given } = chosen(board);
    if (!board.held.has(given)) return load(section, `${board.slug}/${given}`, () => show(section, focus));
    const shown = view(board);
    const held = document.activeElement && section.contains(document.activeElement) ? focus : null;
    const table = section.querySelector("table.scores");
    table.replaceChildren(head(board, shown, section), ...[false, true].map((reported) => body(board, shown, reported)).filter(Boolean));
    tools(board, section);
    settle(section, board, shown);
    if (held) section.querySelector(`[data-key="${CSS.escape(held)}"], [data-sort="${CSS.escape(held)}"]`)?.focus();
  }

  function open(section, focus) {
    for (const other of sections) other.hidden = other !== section;
    for (const tab of document.querySelectorAll(".tabs button")) {
      const mine = tab.getAttribute("aria-controls") === section.id;
      tab.setAttribute("aria-selected", String(mine));
      tab.tabIndex = mine ? 0 : -1;
      if (mine && focus) tab.focus();
    }
    if (boards.has(section.dataset.slug)) return show(section);
    load(section, section.dataset.slug, () => show(section));
  }

  if (sections.length > 1) {
    const tabs = element("div", { class: "tabs", role: "tablist", "aria-label": "Tables" }, ...sections.map((section, i) => element("button", {
      type: "button", role: "tab", id: `tab-${i}`, "aria-controls": section.id, onclick: () => open(section),
      onkeydown: (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (step) open(sections[(i + step + sections.length) % sections.length], true);
      },
    }, section.querySelector("h2").textContent)));
    sections[0].before(tabs);
    sections.forEach((section, i) => {
      section.setAttribute("role", "tabpanel");
      section.setAttribute("aria-labelledby", `tab-${i}`);
      section.querySelector("h2").className = "unseen"; // the tab says it
    });
  }
  if (sections.length) open(sections.find((section) => section.dataset.slug === state.get("table")) ?? sections[0]);
}
