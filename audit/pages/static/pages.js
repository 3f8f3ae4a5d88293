// Charts from the tables beside them, and what a screen reader is told of new events. Without it the tables say it all.
"use strict";
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dashes = [[], [6, 3], [2, 3], [9, 3, 2, 3]];

  const draw = (figure) => {
    const table = figure.querySelector("table.series");
    const place = figure.querySelector(".plot");
    if (!table || !place) return;
    const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent);
    const rows = [...table.tBodies[0].rows];
    const data = [rows.map((row) => Number(row.cells[0].dataset.at))];
    for (let at = 1; at < heads.length; at += 1) data.push(rows.map((row) => Number(row.cells[at].dataset.value)));
    const step = Number(table.dataset.step);
    const day = step >= 86400;
    const stamp = (seconds) => new Date(seconds * 1000).toISOString().replace("T", " ").slice(0, day ? 10 : 16);
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    place.hidden = false;
    const size = () => ({ width: Math.max(place.clientWidth, 200), height: 240 });
    const few = rows.length < 40;
    const plot = new uPlot({
      ...size(),
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
      series: [
        { label: heads[0], value: (_, seconds) => (seconds == null ? "–" : stamp(seconds)) },
        ...heads.slice(1).map((label, at) => ({
          label, stroke: colour(`--s${at}`), width: 2, dash: dashes[at], points: { show: few, size: 5 },
        })),
      ],
      axes: [{ ...axis, values: (_, splits) => splits.map((seconds) => stamp(seconds).slice(day ? 2 : 5)), space: 100, incrs: [60, 120, 300, 600, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2419200, 7862400, 31536000, 63072000] }, { ...axis, size: 56, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7, 1e8] }],
      scales: { x: { range: (_, low, high) => [low - step, high + step] }, y: { range: (_, low, high) => [0, Math.max(high * 1.05, 1)] } },
    }, data, place);
    figure.querySelector("details").open = false;
    addEventListener("resize", () => plot.setSize(size()));
  };

  document.querySelectorAll("figure.chart").forEach(draw);
  document.body.addEventListener("htmx:afterSwap", () => {
    const feed = document.getElementById("feed");
    if (feed && feed.dataset.news) document.getElementById("news").textContent = feed.dataset.news;
  });
})();
