"use strict";
(() => {
  const root = document.documentElement;
  window.addEventListener("error", (event) => { root.dataset.error = event.message; });
  const all = (selector, where = document) => [...where.querySelectorAll(selector)];

  const charts = all("figure.chart").map((figure) => ({
    figure,
    area: figure.querySelector(".area"),
    paths: all("path", figure),
    dots: all(".dot", figure),
    values: all(".legend .value", figure),
    last: all(".legend .value", figure).map((output) => output.textContent),
    ...JSON.parse(figure.querySelector("script").textContent),
  }));
  if (charts.length === 0) { root.dataset.ready = "yes"; return; }

  const keys = charts[0].axes.map(([key]) => key);
  let axis = 0;

  const share = (chart, x) => {
    const [, , low, high] = chart.axes[axis];
    return 100 * (x - low) / (high - low);
  };

  // Lines are M x y L x y ...; a value that has no place (null) lifts the pen.
  function redraw(chart) {
    const scale = chart.figure.dataset.scale;
    let at = 0;
    for (const series of chart.series) {
      const xs = series.x[axis].map((x) => share(chart, x).toFixed(2));
      const write = (ys, dots) => {
        let pen = "M", d = "";
        ys.forEach((y, i) => {
          if (y === null) { pen = "M"; return; }
          d += dots ? `M${xs[i]} ${y}h0` : `${pen}${xs[i]} ${y}`;
          pen = "L";
        });
        chart.paths[at++].setAttribute("d", d);
      };
      for (const line of series.y) write(line[scale], false);
      if (series.dots) write(series.y.at(-1)[scale], true);
    }
    for (const part of all("[data-of-axis]", chart.figure)) part.hidden = part.dataset.ofAxis !== keys[axis];
    for (const part of all("[data-of-scale]", chart.figure)) part.hidden = part.dataset.ofScale !== scale;
  }

  function nearest(xs, x) {
    let best = 0;
    for (let i = 1; i < xs.length; i++) if (Math.abs(xs[i] - x) < Math.abs(xs[best] - x)) best = i;
    return best;
  }

  // The values of every chart at one place of the axis; null takes them away.
  function point(x) {
    for (const chart of charts) {
      const cross = chart.area.querySelector(".cross");
      cross.hidden = x === null;
      chart.series.forEach((series, k) => {
        const dot = chart.dots[k];
        if (x === null) { chart.values[k].textContent = chart.last[k]; dot.hidden = true; return; }
        const i = nearest(series.x[axis], x);
        const y = series.y[0][chart.figure.dataset.scale][i];
        chart.values[k].textContent = series.text[i];
        dot.hidden = y === null;
        dot.style.left = `${share(chart, series.x[axis][i])}%`;
        dot.style.top = `${y}%`;
      });
      if (x === null) continue;
      cross.style.left = `${share(chart, x)}%`;
      const [, label, low, high] = chart.axes[axis];
      const digits = high < 20 ? 2 : 0;
      cross.dataset.at = `${x.toLocaleString("en-US", { maximumFractionDigits: digits })} ${label}`;
      cross.classList.toggle("right", x > low + 0.6 * (high - low));
      chart.area.setAttribute("aria-valuenow", Math.round(share(chart, x)));
      chart.area.setAttribute("aria-valuetext",
        `${cross.dataset.at}: ${chart.values.map((value) => value.textContent).join(", ")}`);
    }
  }

  for (const chart of charts) {
    const longest = () => chart.series.map((s) => s.x[axis]).sort((a, b) => b.length - a.length)[0];
    let at = -1;
    chart.area.addEventListener("pointermove", (event) => {
      const box = chart.area.getBoundingClientRect();
      const [, , low, high] = chart.axes[axis];
      const x = low + (high - low) * (event.clientX - box.left) / box.width;
      at = nearest(longest(), x);
      point(longest()[at]);
    });
    chart.area.addEventListener("pointerleave", () => point(null));
    chart.area.addEventListener("blur", () => point(null));
    chart.area.addEventListener("keydown", (event) => {
      const xs = longest();
      const leap = Math.max(1, Math.round(xs.length / 50));
      const move = { ArrowLeft: -leap, ArrowRight: leap, Home: -xs.length, End: xs.length }[event.key];
      if (move === undefined) return;
      event.preventDefault();
      at = Math.min(xs.length - 1, Math.max(0, (at < 0 ? xs.length - 1 : at) + move));
      point(xs[at]);
    });
    const scale = chart.figure.querySelector("button.scale");
    scale?.addEventListener("click", () => {
      const log = chart.figure.dataset.scale !== "log";
      chart.figure.dataset.scale = log ? "log" : "linear";
      scale.setAttribute("aria-pressed", log);
      redraw(chart);
    });
  }

  // The axis is kept in the address: report.html#x=time.
  const radios = all(".switch input");
  function choose(key) {
    if (!keys.includes(key)) return;
    axis = keys.indexOf(key);
    root.dataset.x = key;
    for (const radio of radios) radio.checked = radio.value === key;
    charts.forEach(redraw);
  }
  for (const radio of radios) {
    radio.addEventListener("change", () => {
      choose(radio.value);
      history.replaceState(null, "", `#x=${radio.value}`);
    });
  }
  for (const part of all(".switch")) part.hidden = keys.length < 2;
  choose(new URLSearchParams(location.hash.slice(1)).get("x"));
  root.dataset.ready = "yes";
})();
