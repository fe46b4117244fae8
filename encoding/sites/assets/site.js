// Draw the charts and the brain of a published page. What is chosen stands behind the # of the address, so that every view is a link.
(() => {
  const page = document.body.dataset;
  const find = (id) => document.getElementById(id);
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const figures = new Map(); // element -> the figure that it shows
  let chosen = new URLSearchParams(location.hash.slice(1));
  let view = null;

  // ---- light and dark

  const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;
  const kept = (value) => { try { return value ? localStorage.setItem("theme", value) : localStorage.getItem("theme"); } catch { return null; } };
  function setTheme(theme) {
    document.documentElement.dataset.theme = theme;
    figures.forEach((figure, element) => draw(element, figure));
  }
  setTheme(kept() || (dark() ? "dark" : "light"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (!kept()) setTheme(dark() ? "dark" : "light"); });
  find("theme").onclick = () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    kept(theme);
    setTheme(theme);
  };

  // ---- charts

  const LIGHT_RIM = "rgba(255,255,255,0.8)", STROKE = "#6E6E6E"; // of thin lines in figures, chosen for white paper

  function recoloured(trace, colours) {
    const colour = trace.mode === "lines" && colours[trace.line?.color];
    return colour ? { ...trace, line: { ...trace.line, color: colour } } : trace;
  }

  function draw(element, figure) {
    figures.set(element, figure);
    const look = getComputedStyle(document.body);
    const { width, ...layout } = structuredClone(figure.layout);
    const font = { ...layout.font, color: look.color, family: look.fontFamily };
    const quiet = look.getPropertyValue("--quiet").trim();
    for (const note of layout.annotations ?? []) note.font = { ...note.font, color: quiet };
    for (const [name, axis] of Object.entries(layout)) {
      if (/^[xy]axis/.test(name) && axis.title?.text) axis.title = { standoff: 10, ...axis.title }; // clear of the source below it
    }
    const shown = { ...layout, font, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: layout.plot_bgcolor ?? "rgba(0,0,0,0)" };
    const rim = look.getPropertyValue("--rim").trim();
    const data = figure.data.map((trace) => recoloured(trace, { [LIGHT_RIM]: rim, [STROKE]: quiet }));
    return Plotly.react(element, data, shown, { responsive: true, displaylogo: false, displayModeBar: "hover" });
  }

  /** Draw a figure when it comes into sight. */
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      seen.unobserve(entry.target);
      draw(entry.target, data.charts[Number(entry.target.dataset.chart)].figure);
    }
  }, { rootMargin: "400px" });

  // ---- the state in the address

  function choose(name, value) {
    if (value) chosen.set(name, value); else chosen.delete(name);
    history.replaceState(null, "", `#${chosen}`);
    show();
  }
  addEventListener("hashchange", () => { chosen = new URLSearchParams(location.hash.slice(1)); show(); });

  /** The value of a control's name: what the address says where the control offers it, else its first. */
  function value(name) {
    const control = find(name);
    if (!control) return "";
    const offered = [...control.options].map((option) => option.value);
    const there = offered.includes(chosen.get(name)) ? chosen.get(name) : offered[0];
    control.value = there;
    return there;
  }
  for (const name of ["score", "roi", "surface", "fit"]) if (find(name)) find(name).onchange = (event) => choose(name, event.target.value);
  if (find("outlines")) find("outlines").onchange = (event) => choose("outlines", event.target.checked ? "all" : "");

  // ---- the brain

  function showBrain(map, changes) {
    if (!map || !find("brain")) return;
    view ??= BrainViewer.createBrainView(find("brain"), BrainViewer.unpack(bytes(BRAIN_MESHES)), (found) => choose("vertex", found ? `${found.hemi}-${found.vertex}` : ""));
    view.update(bytes(map), undefined, { name: "brain", ...changes });
  }

  const vertex = () => {
    const [hemi, number] = (chosen.get("vertex") ?? "").split("-");
    return /^[lr]h$/.test(hemi) && /^\d{1,5}$/.test(number) && Number(number) < 10242 ? { hemi, vertex: Number(number) } : null;
  };

  /** The scores of the chosen vertex, read from every map. */
  function describeVertex(selected) {
    const lines = [];
    let place = "";
    for (const [score, map] of Object.entries(data.brains)) {
      const { header, arrays } = BrainViewer.unpack(bytes(map));
      const there = BrainViewer.spread(arrays, selected.hemi, 10242), at = selected.vertex;
      if (Number.isNaN(there.values[at])) continue;
      const rois = (header.memberships[selected.hemi]?.[there.rois[at]] ?? []).map((roi) => header.rois[roi]);
      place = `${selected.hemi} ${there.columns[at]} (fsaverage ${at})${rois.length ? ` · ${rois.join(", ")}` : ""}`;
      const ceiling = Number.isNaN(there.ceiling[at]) ? "" : ` of ${there.ceiling[at].toFixed(3)} possible`;
      lines.push(`${data.scores[score].short} ${there.values[at].toFixed(3)}${ceiling}`);
    }
    return place ? `${place}: ${lines.join(" · ")}` : `Nothing was recorded at ${selected.hemi} ${selected.vertex}.`;
  }

  // ---- pages

  const data = page.name ? Encoding.get(page.name) : null;

  function showFit() {
    const score = value("score"), roi = value("roi"), selected = vertex() ?? data.only, outlines = chosen.get("outlines") === "all";
    const figure = structuredClone(data.bars[score]);
    for (const trace of figure.data.filter((each) => each.type === "bar" && roi)) {
      trace.marker.opacity = trace.customdata.map(([name]) => (name === roi ? 1 : 0.35));
    }
    draw(find("bars"), figure);
    find("about").textContent = data.scores[score].about;
    if (data.brains[score]) {
      find("outlines").checked = outlines;
      const named = data.rois.filter((name) => name !== "all");
      showBrain(data.brains[score], { surface: value("surface"), selected, chosen_roi: roi || null, outlined: outlines ? named : [] });
      find("vertex").textContent = selected ? describeVertex(selected) : `Click a ${data.unit} to see its scores.`;
    }
    if (data.predictions) showPredictions(roi);
  }

  function showPredictions(roi) {
    const { figure, names, rois } = data.predictions;
    const own = rois[roi] ?? rois[data.best] ?? Object.values(rois)[0];
    const drawn = structuredClone(figure);
    drawn.data = drawn.data.slice(0, own.traces.length);
    drawn.data.forEach((trace, place) => Object.assign(trace, own.traces[place]));
    drawn.data[1].hovertext = names;
    drawn.layout.title.text = own.title;
    for (const axis of ["xaxis", "yaxis"]) drawn.layout[axis].range = own.range;
    draw(find("predictions"), drawn);
  }

  async function showHeatmap() {
    const score = value("score"), slug = value("fit");
    draw(find("heatmap"), data.heatmaps[score]);
    find("open").href = `${slug}.html${chosen.get("roi") ? `#roi=${encodeURIComponent(chosen.get("roi"))}` : ""}`;
    const fit = await Encoding.load(slug);
    if (value("fit") !== slug) return; // another was chosen meanwhile
    const roi = fit.rois.includes(chosen.get("roi")) && chosen.get("roi") !== "all" ? chosen.get("roi") : null;
    showBrain(fit.brains[score] ?? fit.brains.r, { selected: vertex(), chosen_roi: roi });
  }

  function showComparison() {
    showBrain(data.brains.difference, { surface: value("surface") || "inflated", selected: vertex() });
  }

  const show = { fit: showFit, heatmap: showHeatmap, comparison: showComparison }[page.page] ?? (() => {});
  show();
  for (const element of document.querySelectorAll("[data-chart]")) seen.observe(element);
  find("bars")?.on("plotly_click", ({ points: [point] }) => {
    const roi = point.customdata?.[0];
    if (roi) choose("roi", roi === "all" || roi === chosen.get("roi") ? "" : roi);
  });
  find("heatmap")?.on("plotly_click", ({ points }) => {
    const cell = points.find((point) => point.customdata);
    if (!cell) return;
    const [label, roi] = cell.customdata;
    chosen.set("roi", roi);
    choose("fit", data.slugs[data.rows.indexOf(label)]);
  });
})();
