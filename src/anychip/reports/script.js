"use strict";
// Names the operator and the chip at the pointer over the heat map.
(() => {
  const holder = document.getElementById("heat-data");
  const svg = document.querySelector("#heat svg");
  const words = document.getElementById("at");
  if (!holder || !svg || !words) return;
  const data = JSON.parse(holder.textContent);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const column = Math.floor(((event.clientX - box.left) * scale - data.left) / data.cell);
    const row = Math.floor(((event.clientY - box.top) * scale) / data.row);
    const state = data.rows[row] && data.rows[row][column];
    if (state === undefined) return;
    words.textContent = `${data.operators[column]} on ${data.chips[row]}: ${data.states[state]}`;
  });
})();
document.documentElement.dataset.ready = "yes";
