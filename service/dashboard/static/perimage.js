// Perimage in the browser: the menu, keys, dialogs, times in the viewer's zone, the theme, and charts.
// Everything works on what htmx brings in later, too: `dress(part)` is called for each new part of the page.
"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, part = document) => [...part.querySelectorAll(selector)];
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  // Times: UTC as it stands in the page, here in the zone of whoever looks; UTC stays in the title.
  const language = document.cookie.match(/(?:^|; )perimage-language=(en-GB|en|de|ja)\b/)?.[1] || navigator.language;
  const moment = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  const localTimes = (part) => all("time.moment:not([data-local])", part).forEach((time) => {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) return;
    time.dataset.local = "";
    time.textContent = moment.format(at);
  });

  // Requests of htmx carry the session's token.
  document.addEventListener("htmx:config:request", (event) => {
    const token = document.querySelector('meta[name="csrf"]')?.content;
    if (token) event.detail.ctx.request.headers["X-CSRF-Token"] = token;
  });

  // The menu on a phone.
  const menu = document.getElementById("menu");
  const toggle = document.querySelector('[data-toggle="menu"]');
  let veil = null;
  const showMenu = (open) => {
    if (!menu || !toggle) return;
    menu.classList.toggle("open", open);
    toggle.setAttribute("aria-expanded", String(open));
    veil?.remove();
    veil = null;
    if (open) {
      veil = document.createElement("div");
      veil.className = "veil";
      veil.addEventListener("click", () => showMenu(false));
      document.body.append(veil);
      menu.querySelector("a")?.focus();
    }
  };
  toggle?.addEventListener("click", () => showMenu(!menu.classList.contains("open")));

  // Dialogs, copying, choices that are sent at once.
  document.addEventListener("click", (event) => {
    const target = event.target.closest?.("[data-open], [data-close], [data-copy], [data-theme-choice]");
    if (!target) return;
    if (target.dataset.open) document.getElementById(target.dataset.open)?.showModal();
    if ("close" in target.dataset) target.closest("dialog")?.close();
    if (target.dataset.copy) {
      const text = document.getElementById(target.dataset.copy)?.textContent ?? "";
      navigator.clipboard?.writeText(text.trim()).then(() => { target.textContent = "Copied"; });
    }
    if (target.dataset.themeChoice) setTheme(target.dataset.themeChoice);
  });
  document.addEventListener("change", (event) => {
    if (event.target.name === "theme" && event.target.closest("[data-theme-choices]")) setTheme(event.target.value);
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent && form.method !== "dialog") event.preventDefault();  // once is enough
    else if (form.method === "post" && !form.hasAttribute("hx-post")) {
      form.dataset.sent = "yes";
      setTimeout(() => { delete form.dataset.sent; }, 4000);
    }
  });

  const setTheme = (theme) => {
    root.dataset.theme = theme;
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `perimage-theme=${theme}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
    redraw();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());

  // Keys: / to search, g and a letter to go, ? for the list, Escape to close the menu.
  let waiting = 0;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") showMenu(false);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input, textarea, select, dialog, [contenteditable]")) return;
    if (waiting && Date.now() - waiting < 1500) {
      waiting = 0;
      const place = document.querySelector(`.side [data-key="${CSS.escape(event.key)}"]`);
      if (place) { event.preventDefault(); place.click(); }
      return;
    }
    if (event.key === "/") {
      const search = document.querySelector("[data-search]");
      if (search) { event.preventDefault(); search.focus(); search.select(); }
    } else if (event.key === "g") waiting = Date.now();
    else if (event.key === "?") document.getElementById("shortcuts")?.showModal();
  });

  // Charts: uPlot draws what the JSON beside it says; the table beneath is for whoever does not see it.
  const drawn = new Map();
  const number = new Intl.NumberFormat(language, { maximumFractionDigits: 4 });
  const short = new Intl.NumberFormat(language, { notation: "compact", maximumFractionDigits: 1 });
  const fine = new Intl.NumberFormat(language, { maximumSignificantDigits: 3 });
  const dayOf = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeZone: "UTC" });
  const axisDay = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", timeZone: "UTC" });

  const tone = (one) => colour(`--tone-${one.tone}`);
  const legend = (figure, data) => {
    figure.querySelector(".legend")?.remove();
    if (data.series.length < 2 && !data.limit) return;
    const list = document.createElement("ul");
    list.className = "legend";
    list.setAttribute("aria-hidden", "true");
    for (const one of [...data.series, ...(data.limit ? [{ label: data.limit.label, tone: "quiet", dashed: true }] : [])]) {
      const item = document.createElement("li");
      const mark = document.createElement("i");
      mark.className = `tone-${one.tone}${one.dashed ? " dashed" : ""}`;
      item.append(mark, one.label);
      list.append(item);
    }
    figure.querySelector(".plot").before(list);
  };

  const tip = (data, sums) => {
    let box;
    return {
      hooks: {
        init: (plot) => { box = document.createElement("div"); box.className = "tip"; box.hidden = true; plot.over.append(box); },
        setCursor: (plot) => {
          const at = plot.cursor.idx;
          box.hidden = at === null || at === undefined || plot.cursor.left < 0;
          if (box.hidden) return;
          box.replaceChildren();
          const head = document.createElement("b");
          head.textContent = data.time ? dayOf.format(new Date(data.x[at] * 1000)) : typeof data.x[at] === "number" ? number.format(data.x[at]) : String(data.x[at]);
          box.append(head);
          data.series.forEach((one) => {
            if (one.values[at] === null) return;
            const line = document.createElement("span"), mark = document.createElement("i"), value = document.createElement("em");
            mark.className = `tone-${one.tone}`;
            value.textContent = number.format(one.values[at]);
            line.append(mark, one.label, value);
            box.append(line);
          });
          const right = plot.cursor.left + 14 + box.offsetWidth > plot.over.clientWidth;
          const left = Math.max(0, right ? plot.cursor.left - box.offsetWidth - 14 : plot.cursor.left + 14);
          box.style.transform = `translate(${left}px, ${Math.max(0, Math.min(plot.cursor.top, plot.over.clientHeight - box.offsetHeight))}px)`;
        },
      },
    };
  };

  // Lines across a chart at places of its x axis, such as what is asked for: `options.marks`, [{ at, label }].
  const across = (marks) => ({
    hooks: {
      draw: (plot) => {
        const { ctx, bbox } = plot, ratio = devicePixelRatio || 1;
        ctx.save();
        ctx.font = `${12 * ratio}px Inter, system-ui, sans-serif`;
        marks.forEach((mark, number) => {
          const x = Math.round(plot.valToPos(mark.at, "x", true));
          if (x < bbox.left || x > bbox.left + bbox.width) return;
          ctx.strokeStyle = ctx.fillStyle = colour(number ? "--muted" : "--accent");
          ctx.lineWidth = (number ? 1 : 1.5) * ratio;
          ctx.setLineDash(number ? [3 * ratio, 4 * ratio] : []);
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
          const left = x + ctx.measureText(mark.label).width + 8 * ratio > bbox.left + bbox.width;
          ctx.textAlign = left ? "right" : "left";
          ctx.fillText(mark.label, x + (left ? -5 : 5) * ratio, bbox.top + (12 + 15 * number) * ratio);
        });
        ctx.restore();
      },
    },
  });

  const draw = (figure) => {
    if (typeof uPlot === "undefined") return;
    const data = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
    const place = figure.querySelector(".plot");
    drawn.get(figure)?.destroy();
    const numeric = data.x.every((x) => typeof x === "number");
    const xs = numeric ? data.x : data.x.map((_, at) => at);
    const stacked = data.kind === "stacked";
    const bars = stacked || data.kind === "bars";
    let columns = data.series.map((one) => one.values);
    if (stacked) {
      const sum = xs.map(() => 0);
      columns = columns.map((values) => values.map((value, at) => (sum[at] += value ?? 0)));
    }
    const order = stacked ? data.series.map((_, at) => at).reverse() : data.series.map((_, at) => at);
    const ink = colour("--muted"), line = colour("--line");
    const series = order.map((at) => {
      const one = data.series[at], stroke = tone(one);
      return {
        label: one.label, stroke: bars ? undefined : stroke, width: bars ? 0 : 2, dash: one.dashed ? [6, 5] : undefined,
        fill: bars ? stroke : data.kind === "area" && !one.dashed ? `${stroke}26` : undefined,
        paths: bars ? uPlot.paths.bars({ size: [0.72, 28], radius: stacked ? 0 : 0.15, align: 0 }) : undefined,
        points: { show: false }, spanGaps: false,
      };
    });
    const values = order.map((at) => columns[at]);
    if (data.limit) {
      series.push({ label: data.limit.label, stroke: ink, width: 1.5, dash: [3, 4], points: { show: false } });
      values.push(xs.map(() => data.limit.value));
    }
    const step = xs.length > 1 ? (xs[xs.length - 1] - xs[0]) / (xs.length - 1) : 1;
    const options = {
      width: Math.max(200, place.clientWidth), height: place.clientHeight,
      padding: [10, data.time ? 6 : numeric || bars ? 30 : 46, 0, 0], legend: { show: false },
      cursor: { y: false, points: { show: !bars, size: 7 }, drag: { x: false, y: false } },
      plugins: [tip(data), ...(data.options?.marks ? [across(data.options.marks)] : [])],
      scales: {
        x: { time: false, range: bars ? (_, low, high) => [low - step * 0.6, high + step * 0.6] : undefined },
        y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.08 : 1] },
      },
      axes: [
        { stroke: ink, grid: { show: false }, ticks: { show: false }, size: 28, gap: 6, font: "12px Inter, system-ui, sans-serif", space: 64,
          splits: numeric ? (data.time ? (_, __, low, high) => dayTicks(data.x, low, high, place.clientWidth) : undefined) : () => wordTicks(data.x, place.clientWidth),
          values: (_, ticks) => ticks.map((tick) => data.time ? axisDay.format(new Date(tick * 1000)) : numeric ? short.format(tick) : data.x[tick] ?? "") },
        { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 54, gap: 6, font: "12px Inter, system-ui, sans-serif", space: 42,
          values: (_, ticks) => ticks.map((tick) => (Math.abs(ticks[ticks.length - 1]) < 10 ? fine : short).format(tick)) },
      ],
      series: [{}, ...series],
    };
    legend(figure, data);
    place.replaceChildren();
    drawn.set(figure, new uPlot(options, [xs, ...values], place));
  };
  // Which words fit below a chart of this width: every one, every second, every third, and always the last.
  const wordTicks = (words, width) => {
    const longest = Math.max(...words.map((word) => String(word).length)) * 7 + 12;
    const step = Math.max(1, Math.ceil(words.length * longest / Math.max(width - 70, 1)));
    return words.map((_, at) => at).filter((at) => (words.length - 1 - at) % step === 0);
  };

  const dayTicks = (xs, low, high, width) => {
    const inside = xs.filter((x) => x >= low && x <= high);
    const every = Math.max(1, Math.ceil(inside.length / Math.max(2, Math.floor(width / 84))));
    return inside.filter((_, at) => at % every === 0);
  };
  const redraw = () => { for (const figure of drawn.keys()) figure.isConnected ? draw(figure) : drawn.delete(figure); };
  let resizing = 0;
  addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(redraw, 120); });

  const dress = (part) => {
    localTimes(part);
    all("[data-chart]", part).forEach((figure) => { if (!drawn.has(figure)) draw(figure); });
  };
  document.addEventListener("htmx:after:swap", () => { redrawGone(); dress(document); });
  const redrawGone = () => { for (const [figure, plot] of drawn) if (!figure.isConnected) { plot.destroy(); drawn.delete(figure); } };
  dress(document);
  window.perimage = { dress, draw };
})();
