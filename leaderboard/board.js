// The board: settings, sorting and filters. The current view is kept in the page's address, so it can be linked.
// The data are in data/board-*.js, one file per table and set of given stems: a page opened from disk may load scripts but
// not fetch files. Texts from these files only ever become text nodes.
"use strict";
{
  const SETTINGS = ["given", "timebase", "fps", "transition_lambda", "window", "fad"];
  const LABELS = { run: "Run", given: "Given stems", timebase: "Timebase", fps: "Frames/s", transition_lambda: "Transition lambda",
    window: "CBS window (s)", fad: "FAD embedding, reference" };
  const KINDS = ["measured", "embedded", "control", "reported"];
  const MISSING = "–";
  const sections = [...document.querySelectorAll(".board")];
  const boards = new Map();
  const state = new URLSearchParams(location.hash.slice(1));

  // Adds the lookups to a board from its data file. byKey: scores by row, column and setting; uses: the columns that depend on
  // each setting; loaded: the sets of given stems whose scores are loaded.
  window.mtbenchBoard = (board) => {
    Object.assign(board, { byKey: new Map(), uses: new Map(SETTINGS.map((name) => [name, new Set()])), loaded: new Set() });
    boards.set(board.slug, board);
    add(board, board.standard.given, board.scores);
  };
  window.mtbenchScores = ({ slug, given, scores }) => add(boards.get(slug), given, scores);

  const element = (name, attributes = {}, ...children) => {
    const created = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) created.addEventListener(key.slice(2), value);
      else if (value === true) created.setAttribute(key, "");
      else if (value !== false && value != null) created.setAttribute(key, value);
    }
    created.append(...children);
    return created;
  };

  const key = (row, column, settings) => [row, column, ...settings].join();

  // Adds the scores for a set of given stems. Each score is a list; the board's `fields` name its positions.
  function add(board, given, scores) {
    for (const list of scores) {
      const score = Object.fromEntries(board.fields.map((name, i) => [name, list[i]]));
      board.byKey.set(key(score.row, score.column, SETTINGS.map((name) => score[name])), score);
      for (const name of SETTINGS) if (score[name] >= 0) board.uses.get(name).add(score.column);
    }
    board.loaded.add(given);
  }

  const load = (section, file, then) => document.body.append(element("script", { src: `data/board-${file}.js`, onload: then, onerror: () => {
    section.querySelector(".view").hidden = false;
    section.querySelector(".setting").textContent = `data/board-${file}.js cannot be loaded. The table was not changed.`;
  } }));

  const valuesOf = (board, name) => name === "run" ? board.runs : board.settings[name];

  // The text of a setting's value in its control.
  const option = (board, name, index) => {
    const value = valuesOf(board, name)[index];
    return name === "timebase" ? board.words.timebase[index] : name === "given" && value === "" ? "nothing" : String(value);
  };

  // The index chosen for each setting: the one in the address, or the standard one.
  function chosen(board) {
    return Object.fromEntries(["run", ...SETTINGS].map((name) => {
      const wanted = valuesOf(board, name).findIndex((value) => String(value) === state.get(name));
      return [name, state.get(name) === "*" && name === "run" ? -1 : wanted >= 0 ? wanted : board.standard[name]];
    }));
  }

  const hasValue = (line, c) => (line.scores.get(c)?.value ?? null) !== null; // a score may have counts but no value
  const competes = (line) => line.kind === "measured" || line.kind === "embedded";

  function view(board) {
    const at = chosen(board);
    const selected = board.views.some(([name]) => name === state.get("view")) ? state.get("view") : board.views[0]?.[0];
    const columns = board.columns.map((_, c) => c).filter((c) => board.columns[c].views.includes(selected));
    const score = (row, c) => board.byKey.get(key(row, c, SETTINGS.map((name) => board.uses.get(name).has(c) ? at[name] : -1)));
    const rows = board.rows.map((line, row) => ({ ...line, row, scores: new Map(columns.map((c) => [c, score(row, c)])) }))
      .filter((line) => (line.run < 0 || at.run < 0 || line.run === at.run) && columns.some((c) => hasValue(line, c)));
    const order = sorted(board, columns, rows);
    // All runs together have no ranks and nothing in bold, because models from different runs were never compared.
    const ranked = at.run >= 0 || board.runs.length < 2;
    const scales = new Map(columns.map((c) => [c, scale(rows.filter(competes).map((line) => line.scores.get(c)))]));
    // FAD falls as clips are added, so with all runs together each FAD shows its number of clips if these differ.
    const counts = (c) => new Set(rows.map((line) => line.scores.get(c)?.n_scored).filter((count) => count != null));
    const counted = new Set(at.run >= 0 ? [] : columns.filter((c) => board.columns[c].biased && counts(c).size > 1));
    return { at, selected, columns, rows, ranked, scales, counted, ...order };
  }

  // Sorts the rows. Returns the column they are sorted by (-1: by name) and the direction.
  function sorted(board, columns, rows) {
    const asked = board.columns.findIndex((column) => column.title === state.get("sort"));
    const own = columns.includes(asked); // a column that is not in this view is ignored
    const first = columns.find((c) => board.columns[c].direction && rows.some((line) => line.run >= 0 && hasValue(line, c))) ?? -1;
    const lead = state.get("sort") === "model" ? -1 : own ? asked : first;
    const natural = lead < 0 || board.columns[lead].direction <= 0 ? "asc" : "desc";
    // The chosen direction applies only to the column it was chosen for; any other column has its natural direction.
    const direction = own || state.get("sort") === "model" ? state.get("dir") ?? natural : natural;
    const sign = direction === "asc" ? 1 : -1;
    rows.sort((a, b) => {
      const names = a.model < b.model ? -1 : a.model > b.model ? 1 : a.row - b.row;
      if (lead < 0) return sign * names;
      // Papers repeat each other's numbers, so reported scores are sorted only if a reader asks for it.
      if (!own && a.kind === "reported" && b.kind === "reported") return names;
      if (!hasValue(a, lead) || !hasValue(b, lead)) return hasValue(b, lead) - hasValue(a, lead) || names;
      return sign * (a.scores.get(lead).value - b.scores.get(lead).value) || names;
    });
    return { lead, direction };
  }

  // The ends of a column's axis: the range of its competitors' values and intervals plus a margin.
  function scale(scores) {
    const numbers = scores.filter(Boolean).flatMap(({ value, low, high }) => [value, low, high]).filter((number) => number !== null);
    const [low, high] = numbers.length ? [Math.min(...numbers), Math.max(...numbers)] : [0, 1];
    const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
    return { low: low - room, high: high + room };
  }

  function cell(board, shown, line, c) {
    if (!hasValue(line, c)) return element("td", { class: "none" }, MISSING);
    const score = line.scores.get(c), { value, low, high } = score, { digits } = board.columns[c];
    const best = competes(line) && shown.ranked && score.rank === 1;
    const td = element("td", best ? { class: "best" } : {}, element("span", { class: "value" }, value.toFixed(digits)));
    if (line.kind === "reported") return td;
    const axis = shown.scales.get(c);
    const percent = (number) => Math.min(Math.max((number - axis.low) / (axis.high - axis.low), 0), 1) * 100;
    const whisker = element("span", { class: "whisker", "aria-hidden": "true" });
    if (low !== null && high !== null) {
      const interval = element("i");
      interval.style.left = `${percent(low)}%`;
      interval.style.width = `${percent(high) - percent(low)}%`;
      whisker.append(interval);
    }
    const dot = element("b");
    dot.style.left = `${percent(value)}%`;
    whisker.append(dot);
    td.append(whisker);
    if (low !== null && high !== null) td.append(element("small", {}, `${low.toFixed(digits)} to ${high.toFixed(digits)}`));
    if (shown.counted.has(c)) td.append(element("small", {}, `n = ${score.n_scored}`));
    return td;
  }

  // The clips scored, for the column sorted by or else the first column that has counts.
  function coverage(shown, line) {
    const score = [shown.lead, ...shown.columns].map((c) => line.scores.get(c)).find((score) => score && score.n !== null);
    return score ? `${score.n_scored}/${score.n}` : MISSING;
  }

  function head(board, shown, section) {
    const sort = (title, natural) => () => {
      const current = title === "model" ? shown.lead === -1 : board.columns[shown.lead]?.title === title;
      state.set("sort", title);
      state.set("dir", current ? (shown.direction === "asc" ? "desc" : "asc") : natural);
      show(section, title);
    };
    const direction = shown.direction === "asc" ? "ascending" : "descending";
    const row = element("tr", {}, element("th", { scope: "col", class: "rank" }, "Rank"),
      element("th", { scope: "col", class: "model", "aria-sort": shown.lead === -1 && direction },
        element("button", { type: "button", class: "sort", "data-sort": "model", onclick: sort("model", "asc") }, "Model")));
    for (const c of shown.columns) {
      const { title, metric, better, direction: side } = board.columns[c];
      row.append(element("th", { scope: "col", "aria-sort": shown.lead === c && direction },
        element("button", { type: "button", class: "sort", "data-sort": title, onclick: sort(title, side > 0 ? "desc" : "asc") }, title),
        element("button", { type: "button", class: "what", popovertarget: `def-${metric}`, "aria-label": `What ${title} is` }, "?"),
        element("small", {}, better)));
    }
    row.append(element("th", { scope: "col" }, element("span", { class: "head" }, "Scored"), element("small", {}, "of clips")));
    return element("thead", {}, row);
  }

  function body(board, shown, reported) {
    const lines = shown.rows.filter((line) => (line.kind === "reported") === reported);
    if (!lines.length) return null;
    const tbody = element("tbody", { class: reported ? "reported" : "measured" });
    if (reported) tbody.append(element("tr", { class: "divider" }, element("th", { scope: "rowgroup", colspan: 2 }, "Reported in papers, not ranked"),
      element("td", { colspan: shown.columns.length + 1 })));
    const rank = (line) => shown.ranked ? line?.scores.get(shown.lead)?.rank ?? null : null;
    const ranked = lines.filter((line) => rank(line) !== null);
    for (const line of lines) {
      const place = ranked.indexOf(line), mine = rank(line);
      const above = mine !== null && rank(ranked[place - 1]) === mine;
      const below = mine !== null && rank(ranked[place + 1]) === mine;
      const names = [line.kind, above || below ? "tie" : "", below && !above ? "tie-first" : "", above && !below ? "tie-last" : ""];
      const name = line.page ? element("a", { href: line.page }, line.model) : element("span", {}, line.model);
      const model = element("th", { scope: "row", class: "model" }, name, element("span", { class: `badge ${line.kind}` }, line.kind));
      if (shown.at.run < 0 && line.run >= 0) model.append(element("small", {}, `run ${board.runs[line.run]}`));
      if (line.note) model.append(element("small", {}, line.kind === "embedded" ? `trained on ${line.note}` : line.note));
      tbody.append(element("tr", { class: names.filter(Boolean).join(" "), "data-model": line.model, "data-kind": line.kind },
        element("td", { class: "rank" }, mine === null ? MISSING : (above || below ? "=" : "") + mine), model,
        ...shown.columns.map((c) => cell(board, shown, line, c)), element("td", { class: "coverage" }, coverage(shown, line))));
    }
    return tbody;
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
    fields.push(segments("Columns", board.views.map(([name, title]) => [title, shown.selected === name, () => set("view", name, `view-${name}`), `view-${name}`])));
    if (board.settings.timebase.length > 1) fields.push(segments(LABELS.timebase, board.settings.timebase.map((base, i) => [option(board, "timebase", i),
      shown.at.timebase === i, () => set("timebase", base, `timebase-${base}`), `timebase-${base}`])));
    for (const name of ["run", "given", "fps", "transition_lambda", "window", "fad"]) {
      const values = valuesOf(board, name);
      if (values.length < 2) continue;
      const select = element("select", { "data-key": name, onchange: (event) => set(name, event.target.value, name) },
        ...values.map((value, i) => element("option", { value, selected: shown.at[name] === i }, option(board, name, i))));
      if (name === "run") select.append(element("option", { value: "*", selected: shown.at.run < 0 }, "all runs, no ranks"));
      fields.push(element("label", { class: "field" }, element("span", {}, LABELS[name]), select));
    }
    const hidden = new Set((state.get("hide") ?? "").split(",").filter(Boolean));
    const kinds = KINDS.filter((kind) => board.rows.some((row) => row.kind === kind));
    if (kinds.length > 1) fields.push(segments("Show", kinds.map((kind) => [kind, !hidden.has(kind), () => {
      hidden.has(kind) ? hidden.delete(kind) : hidden.add(kind);
      set("hide", hidden.size ? [...hidden].join() : null, `kind-${kind}`);
    }, `kind-${kind}`])));
    fields.push(element("label", { class: "field" }, element("span", {}, "Find a model"), element("input", { type: "search", "data-key": "q", value: state.get("q") ?? "",
      oninput: (event) => { event.target.value ? state.set("q", event.target.value) : state.delete("q"); store(); settle(section, board, view(board)); } })));
    const open = section.querySelector(".tools details")?.open ?? matchMedia("(min-width: 48rem)").matches;
    section.querySelector(".tools").replaceChildren(element("details", { open }, element("summary", {}, "Settings and filters"), element("div", { class: "fields" }, ...fields)));
  }

  // Applies the filters and shows the setting in words, with the number of rows left.
  function settle(section, board, shown) {
    const at = shown.at, words = [];
    if (board.settings.given.length > 1) words.push(`given ${option(board, "given", at.given)}`);
    const setting = Object.entries(board.words).filter(([, values]) => values.length).map(([name, values]) => values[at[name]]);
    if (setting.length) words.push(setting.join(", "));
    if (board.settings.fad.length) words.push(`FAD on ${option(board, "fad", at.fad)}`);
    if (board.runs.length > 1) words.push(at.run < 0 ? "all runs" : `run ${option(board, "run", at.run)}`);
    const rhythm = shown.columns.filter((c) => board.uses.get("timebase").has(c));
    const missing = rhythm.length && !shown.rows.some((line) => rhythm.some((c) => line.scores.get(c)));
    const passed = filter(section);
    if (!board.loaded.has(at.given)) return; // the table still shows other scores
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
    if (!board.loaded.has(given)) return load(section, `${board.slug}/${given}`, () => show(section, focus));
    const shown = view(board);
    const refocus = document.activeElement && section.contains(document.activeElement) ? focus : null;
    section.querySelector(".view").hidden = false;
    const table = section.querySelector("table.scores");
    table.replaceChildren(head(board, shown, section), ...[false, true].map((reported) => body(board, shown, reported)).filter(Boolean));
    tools(board, section);
    settle(section, board, shown);
    if (refocus) section.querySelector(`[data-key="${CSS.escape(refocus)}"], [data-sort="${CSS.escape(refocus)}"]`)?.focus();
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
      section.querySelector("h2").className = "unseen"; // the tab shows the same text
    });
  }
  if (sections.length) open(sections.find((section) => section.dataset.slug === state.get("table")) ?? sections[0]);
}
