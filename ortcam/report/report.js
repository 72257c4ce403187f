"use strict";
// Paints the maps and labels of a report, and reads the values under the cursor.
//
// Everything is drawn from `state`, which the controls and the address's fragment change:
// #picture=2&class=Road&layer=dec_relu4&scale=own&colormap=jet&opacity=70&hide=Sky&at=120,80.
// Text from the data is only ever inserted as text.
(() => {
  const settings = JSON.parse(document.getElementById("settings").textContent);
  const tables = Object.fromEntries(
    Object.entries(settings.colormaps).map(([name, hex]) => [
      name,
      Uint8Array.from(hex.match(/../g), (byte) => parseInt(byte, 16)),
    ]),
  );
  const THUMB = 280; // pixels of a card's picture, across

  const state = {
    picture: 1,
    class: null,
    layer: null,
    colormap: settings.colormap,
    scale: settings.scale,
    opacity: Math.round(100 * settings.opacity),
    labels: 60,
    hide: new Set(),
    outline: settings.outline,
    alone: false,
    at: null, // a column and a row of the picture
  };

  // ---- Numbers and text ----

  const number = (value) => (Number.isFinite(value) ? String(+value.toPrecision(3)) : "–");
  // A quantized value, with the digits that its step size leaves.
  const rounded = (value, step) =>
    step > 0 ? value.toFixed(within(Math.ceil(-Math.log10(step)), 0, 100)) : number(value);
  const percent = (share) => `${+(100 * share).toPrecision(2)}\u00a0%`;
  const within = (value, low, high) => Math.min(Math.max(value, low), high);

  // ---- Planes ----

  // Undoes pack() in ortcam/report/encode.py: base64, deflate, sums along both axes modulo 256.
  async function unpack(text, width) {
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const plane = new Uint8Array(await new Response(stream).arrayBuffer());
    for (let start = 0; start < plane.length; start += width) {
      let sum = 0;
      for (let i = start; i < start + width; i++) {
        sum += plane[i];
        plane[i] = start ? sum + plane[i - width] : sum;
      }
    }
    return plane;
  }

  // Paints values by a palette of 4 bytes for each: red, green, blue and opacity.
  function paint(canvas, width, height, values, palette) {
    canvas.width = width;
    canvas.height = height;
    const pixels = new Uint32Array(width * height);
    const colors = new Uint32Array(palette.buffer);
    for (let i = 0; i < pixels.length; i++) pixels[i] = colors[values[i]];
    const image = new ImageData(new Uint8ClampedArray(pixels.buffer), width, height);
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  const signed = () => settings.signed.includes(state.colormap);

  // The values shown in a map's first and top colour.
  function range(map) {
    const pair = map.ranges[state.scale] ?? map.ranges.shared;
    return pair[Number(signed())];
  }

  // A palette for the 256 levels of a map. As in ortcam/drawing/overlay.py, a colour map that
  // begins dark is transparent at 0 and opaque from a quarter of the maximum.
  function mapPalette(map, { bare, flat, evenly }) {
    const [low, top] = range(map);
    const table = tables[state.colormap];
    const covers = bare || flat || state.colormap.startsWith("jet");
    const palette = new Uint8Array(4 * 256);
    for (let level = 0; level < 256; level++) {
      const value = map.low + (level / 255) * (map.high - map.low);
      const share = top > low ? within((value - low) / (top - low), 0, 1) : 0;
      const size = low < 0 ? Math.abs(value) : value;
      const rise = top > 0 ? within((settings.rise * size) / top, 0, 1) : 0;
      const at = 3 * (evenly ? Math.min(Math.floor(256 * share), 255) : Math.round(255 * share));
      const opacity = covers ? 255 : Math.round(255 * rise);
      palette.set([...table.subarray(at, at + 3), opacity], 4 * level);
    }
    return palette;
  }

  // Marks in `lines` the inner edge of the pixels of a value by `ink`, their outer edge by 3.
  function outline(lines, values, value, ink, thick, width) {
    const height = lines.length / width;
    for (let y = 0, i = 0; y < height; y++)
      for (let x = 0; x < width; x++, i++) {
        const inside = values[i] === value;
        for (let step = 1; step <= thick; step++)
          if (
            (x >= step && (values[i - step] === value) !== inside) ||
            (x + step < width && (values[i + step] === value) !== inside) ||
            (y >= step && (values[i - step * width] === value) !== inside) ||
            (y + step < height && (values[i + step * width] === value) !== inside)
          )
            lines[i] = inside ? ink : 3;
      }
  }

  // ---- One picture ----

  class Picture {
    constructor(article, index) {
      this.article = article;
      this.index = index;
      this.stages = [...article.querySelectorAll(".stage")];
      this.data = null;
    }

    find(selector) {
      return this.article.querySelector(selector);
    }

    // Reads the data and adds the canvases, once.
    async open() {
      if (this.data) return;
      const data = JSON.parse(this.find(".data").textContent);
      this.data = data;
      this.image = this.find(".stage img");
      for (const stage of this.stages) this.build(stage);
      if (data.labels) {
        const bytes = await unpack(data.labels, data.width);
        const size = data.width * data.height;
        this.codes = new Uint16Array(size);
        for (let i = 0; i < size; i++) this.codes[i] = bytes[i] | (bytes[size + i] << 8);
        this.scores = await unpack(data.scores.plane, data.width);
      }
      data.bare = !this.image;
      this.masks = [];
      for (const mask of data.masks) this.masks.push(await unpack(mask, data.width));
      if (this.image) await this.image.decode().catch(() => null);
      await this.sample();
    }

    build(stage) {
      const { width, height } = this.data;
      stage.style.setProperty("--ratio", width / height);
      if (this.image && !stage.contains(this.image)) {
        const copy = this.image.cloneNode();
        copy.alt = "";
        stage.append(copy);
      }
      stage.classList.toggle("bare", !this.image);
      for (const name of ["painted", "outlines"]) {
        const canvas = document.createElement("canvas");
        canvas.className = name;
        canvas.classList.toggle("coarse", width < 400);
        canvas.setAttribute("aria-hidden", "true");
        stage.append(canvas);
      }
      const cross = document.createElement("span");
      cross.className = "cross";
      cross.hidden = true;
      stage.append(cross);
      stage.tabIndex = 0;
      stage.setAttribute("role", "application");
      stage.setAttribute("aria-roledescription", "picture with a cursor");
    }

    // Small versions of all maps, for the cards; only the selected map is kept in full.
    async sample() {
      const { width, height, maps } = this.data;
      const across = Math.min(THUMB, width);
      const down = Math.max(1, Math.round((height * across) / width));
      for (const map of maps) {
        const plane = await unpack(map.plane, width);
        map.thumb = new Uint8Array(across * down);
        for (let y = 0, i = 0; y < down; y++) {
          const row = width * Math.floor(((y + 0.5) * height) / down);
          for (let x = 0; x < across; x++, i++)
            map.thumb[i] = plane[row + Math.floor(((x + 0.5) * width) / across)];
        }
      }
      this.thumb = [across, down];
    }

    // The map of the state's class and layer, or the closest match.
    choose() {
      const { maps } = this.data;
      const layers = [...new Set(maps.map((map) => map.layer))];
      const layer = layers.includes(state.layer) ? state.layer : layers[layers.length - 1];
      const there = maps.filter((map) => map.layer === layer);
      return there.find((map) => map.class === state.class) ?? there[0];
    }

    async show() {
      await this.open();
      const map = this.choose();
      if (this.map !== map) {
        this.map = map;
        const plane = await unpack(map.plane, this.data.width);
        if (this.map !== map) return; // another was selected meanwhile
        this.plane = plane;
      }
      if (!this.plane) return;
      this.setControls();
      this.paintLabels();
      this.paintMap();
      this.paintCards();
      this.setOpacities();
      this.readValues();
      document.documentElement.dataset.shown = String(this.index + 1);
    }

    setControls() {
      const { map } = this;
      const set = (name, value) => {
        for (const input of this.article.querySelectorAll(`[name="${name}"]`))
          if (input.type === "checkbox") input.checked = value;
          else input.value = value;
      };
      set("colormap", state.colormap);
      set("scale", state.scale in map.ranges ? state.scale : "shared");
      set("map-opacity", state.opacity);
      set("labels-opacity", state.labels);
      set("outline", state.outline);
      set("alone", state.alone);
      for (const input of this.article.querySelectorAll('[type="radio"]')) {
        input.checked = this.data.maps[input.value] === map;
      }
      for (const input of this.article.querySelectorAll('[name="shown"]'))
        input.checked = !state.hide.has(this.data.classes[input.value].name);
      const lines = [];
      if (map.predicted)
        lines.push(`pixels predicted as ${this.data.classes[map.predicted - 1].name}, white`);
      if (map.asked >= 0) lines.push("region asked about, light blue");
      this.find('[name="outline"]').disabled = !lines.length;
      this.find(".outlined").textContent = lines.length ? `Outline: ${lines.join("; ")}` : "Outline";
      this.find(".chosen").textContent = ` of ${map.class} at ${map.layer}`;
      this.find(".description").textContent = map.description;
      for (const stage of this.stages) {
        const description =
          stage.dataset.description ||
          `${this.data.name}, map of ${map.class} at ${map.layer}. ${map.description}`;
        stage.setAttribute("aria-label", `${description} Arrow keys move a cursor that reads values.`);
      }
    }

    setOpacities() {
      for (const stage of this.stages) {
        const share = stage.dataset.kind === "map" ? state.opacity : state.labels;
        stage.querySelector(".painted").style.opacity = this.image ? share / 100 : 1;
        stage.classList.toggle("alone", state.alone && Boolean(this.image));
      }
      for (const [name, share] of [
        ["map-opacity", state.opacity],
        ["labels-opacity", state.labels],
      ]) {
        const output = this.find(`[name="${name}"] + output`);
        if (output) output.textContent = `${share}\u00a0%`;
      }
    }

    paintLabels() {
      if (!this.codes) return;
      const { classes, width, height } = this.data;
      const palette = new Uint8Array(4 * (classes.length + 1));
      classes.forEach(({ name, color }, position) => {
        palette.set([...color, state.hide.has(name) ? 0 : 255], 4 * (position + 1));
      });
      paint(this.find('[data-kind="labels"] .painted'), width, height, this.codes, palette);
    }

    paintMap() {
      const { width, height } = this.data;
      const stage = this.find('[data-kind="map"]');
      const palette = mapPalette(this.map, this.data);
      paint(stage.querySelector(".painted"), width, height, this.plane, palette);
      this.paintOutlines(stage.querySelector(".outlines"));
      const [low, top] = range(this.map);
      const whole = { ...this.map, low, high: top > low ? top : low + 1 };
      const levels = Uint8Array.from({ length: 256 }, (_, level) => level);
      paint(this.find(".bar"), 256, 1, levels, mapPalette(whole, this.data));
      const ends = this.article.querySelectorAll(".scale > span");
      [low, (low + top) / 2, top].forEach((value, i) => {
        ends[i].textContent = top > low || !i ? number(value) : "";
      });
    }

    // Light lines inside each mask and a dark one around it, visible on any colour.
    paintOutlines(canvas) {
      const { width, height } = this.data;
      const { predicted, asked } = this.map;
      canvas.hidden = !state.outline || (!predicted && asked < 0);
      if (canvas.hidden) return;
      const thick = Math.max(1, Math.round(Math.sqrt(width * height) / 450));
      const lines = new Uint8Array(width * height);
      if (predicted) outline(lines, this.codes, predicted, 1, thick, width);
      if (asked >= 0) outline(lines, this.masks[asked], 1, 2, thick, width);
      const palette = new Uint8Array(4 * 4);
      settings.outlines.forEach((color, i) => palette.set([...color, 255], 4 * (i + 1)));
      paint(canvas, width, height, lines, palette);
    }

    paintCards() {
      const [across, down] = this.thumb;
      const small = document.createElement("canvas");
      this.article.querySelectorAll(".card canvas").forEach((canvas, i) => {
        const map = this.data.maps[i];
        paint(small, across, down, map.thumb, mapPalette(map, this.data));
        canvas.width = across;
        canvas.height = down;
        const context = canvas.getContext("2d");
        if (this.image) {
          context.imageSmoothingQuality = "high";
          context.drawImage(this.image, 0, 0, across, down);
          context.globalAlpha = state.opacity / 100;
        }
        context.drawImage(small, 0, 0);
      });
    }

    // ---- Values under the cursor ----

    // The picture's column and row at a share of a stage's width and height.
    place(across, down) {
      const [columns, rows] = this.data.full;
      return [
        within(Math.floor(across * columns), 0, columns - 1),
        within(Math.floor(down * rows), 0, rows - 1),
      ];
    }

    readValues() {
      const { full, width, height } = this.data;
      const at = state.at && [
        within(state.at[0], 0, full[0] - 1),
        within(state.at[1], 0, full[1] - 1),
      ];
      for (const stage of this.stages) {
        const cross = stage.querySelector(".cross");
        const reading = stage.parentElement.querySelector(".reading");
        cross.hidden = !at;
        reading.classList.toggle("active", Boolean(at));
        if (!at) {
          reading.textContent = "Point or use the arrow keys to read values.";
          continue;
        }
        const share = at.map((value, axis) => (value + 0.5) / full[axis]);
        cross.style.setProperty("--x", `${100 * share[0]}%`);
        cross.style.setProperty("--y", `${100 * share[1]}%`);
        const i = Math.floor(share[1] * height) * width + Math.floor(share[0] * width);
        const value = stage.dataset.kind === "map" ? this.mapAt(i) : this.labelAt(i);
        reading.textContent = `Column ${at[0]}, row ${at[1]}: ${value}`;
      }
    }

    labelAt(i) {
      const { classes, scores } = this.data;
      const code = this.codes[i];
      if (!code) return "no class";
      const step = (scores.high - scores.low) / 255;
      const score = rounded(scores.low + this.scores[i] * step, step);
      return `${classes[code - 1].name}, score ${score}`;
    }

    mapAt(i) {
      const { map } = this;
      const step = (map.high - map.low) / 255;
      const value = map.low + this.plane[i] * step;
      const [, top] = range(map);
      return rounded(value, step) + (top > 0 ? `, ${percent(value / top)} of the scale` : "");
    }
  }

  // ---- The address ----

  function read() {
    const parameters = new URLSearchParams(location.hash.slice(1));
    const text = (name, values) => {
      const value = parameters.get(name);
      if (value !== null && (!values || values.includes(value))) state[name] = value;
    };
    const whole = (name, low, high) => {
      const value = parseInt(parameters.get(name), 10);
      if (Number.isFinite(value)) state[name] = within(value, low, high);
    };
    whole("picture", 1, pictures.length);
    text("class");
    text("layer");
    text("colormap", Object.keys(tables));
    text("scale", [...document.querySelector('[name="scale"]').options].map(({ value }) => value));
    whole("opacity", 0, 100);
    whole("labels", 0, 100);
    if (parameters.has("hide")) state.hide = new Set(parameters.getAll("hide"));
    for (const name of ["outline", "alone"])
      if (parameters.has(name)) state[name] = parameters.get(name) === "1";
    const at = parameters.get("at")?.match(/^(\d{1,6}),(\d{1,6})$/);
    if (at) state.at = [Number(at[1]), Number(at[2])];
  }

  function write() {
    const { map } = pictures[state.picture - 1];
    const parameters = new URLSearchParams({
      picture: state.picture,
      class: map.class,
      layer: map.layer,
      colormap: state.colormap,
      scale: state.scale,
      opacity: state.opacity,
      labels: state.labels,
    });
    for (const name of state.hide) parameters.append("hide", name);
    if (state.outline !== settings.outline) parameters.set("outline", Number(state.outline));
    if (state.alone) parameters.set("alone", "1");
    try {
      history.replaceState(null, "", `#${parameters}`);
    } catch {
      // some browsers forbid a local page to change its address
    }
  }

  // ---- Events ----

  const articles = [...document.querySelectorAll("article.picture")];
  const pictures = articles.map((article, index) => new Picture(article, index));
  const picker = document.querySelector(".picker");
  const select = picker.querySelector("select");
  const [previous, next] = picker.querySelectorAll("button");

  async function show() {
    articles.forEach((article, index) => {
      article.hidden = index + 1 !== state.picture;
    });
    select.value = String(state.picture);
    previous.disabled = state.picture === 1;
    next.disabled = state.picture === pictures.length;
    await pictures[state.picture - 1].show();
  }

  const current = () => pictures[state.picture - 1];

  const controls = {
    colormap: (input) => (state.colormap = input.value),
    scale: (input) => (state.scale = input.value),
    outline: (input) => (state.outline = input.checked),
    alone: (input) => (state.alone = input.checked),
    shown: (input) => {
      const { name } = current().data.classes[input.value];
      if (input.checked) state.hide.delete(name);
      else state.hide.add(name);
    },
    picture: (input) => {
      state.picture = Number(input.value);
      state.at = null;
    },
    "map-opacity": (input) => (state.opacity = Number(input.value)),
    "labels-opacity": (input) => (state.labels = Number(input.value)),
  };

  function change(input) {
    if (input.name.startsWith("map-") && input.type === "radio") {
      const map = current().data.maps[input.value];
      [state.class, state.layer] = [map.class, map.layer];
    } else controls[input.name]?.(input);
  }

  document.addEventListener("input", ({ target }) => {
    change(target);
    if (target.type === "range") {
      current().setOpacities();
      current().paintCards();
    } else void show().then(write);
  });
  document.addEventListener("change", ({ target }) => {
    if (target.type === "range") write();
  });
  document.addEventListener("click", ({ target }) => {
    if (target.name === "previous" || target.name === "next") {
      state.picture += target.name === "next" ? 1 : -1;
      state.at = null;
    } else if (target.name === "all") for (const { name } of current().data.classes) state.hide.delete(name);
    else if (target.name === "none") for (const { name } of current().data.classes) state.hide.add(name);
    else return;
    void show().then(write);
  });

  function point(event) {
    const stage = event.target.closest?.(".stage");
    if (!stage || !current().plane) return;
    const box = stage.getBoundingClientRect();
    state.at = current().place(
      (event.clientX - box.left) / box.width,
      (event.clientY - box.top) / box.height,
    );
    current().readValues();
  }
  document.addEventListener("pointermove", point);
  document.addEventListener("pointerdown", point);
  document.addEventListener("pointerout", (event) => {
    const stage = event.target.closest?.(".stage");
    if (!stage || event.pointerType !== "mouse" || stage.contains(event.relatedTarget)) return;
    if (document.activeElement?.closest(".stage")) return;
    state.at = null;
    current().readValues();
  });

  const steps = {
    ArrowLeft: [-1, 0],
    ArrowRight: [1, 0],
    ArrowUp: [0, -1],
    ArrowDown: [0, 1],
  };
  document.addEventListener("keydown", (event) => {
    if (!event.target.classList?.contains("stage") || !current().plane) return;
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const { full } = current().data;
    if (event.key === "Escape") state.at = null;
    else if (event.key in steps) {
      const stride = event.shiftKey ? 1 : Math.max(1, Math.round(Math.max(...full) / 50));
      const from = state.at ?? full.map((extent) => Math.floor(extent / 2));
      state.at = from.map((value, axis) =>
        within(value + stride * steps[event.key][axis], 0, full[axis] - 1),
      );
    } else return;
    event.preventDefault();
    current().readValues();
  });
  window.addEventListener("hashchange", () => {
    read();
    void show();
  });

  document.documentElement.classList.add("scripted");
  picker.hidden = pictures.length < 2;
  pictures.forEach(({ article }, index) => {
    const title = article.querySelector("h2").textContent;
    select.append(new Option(`${index + 1}: ${title}`, String(index + 1)));
  });
  read();
  void show();
})();
