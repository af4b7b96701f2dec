// The calculator's page: the form, the results, and the link that keeps the settings.
// The numbers come from estimate.js; everything that can be chosen comes from the data in the page.
"use strict";

(() => {
  const data = JSON.parse(document.getElementById("calculator-data").textContent);
  const root = document.getElementById("calculator");
  const form = root.querySelector("form");
  const status = form.querySelector("[role=status]");
  const field = (name) => form.elements.namedItem(name);

  const GB = 1e9;
  const GIB = 2 ** 30;
  const whole = new Intl.NumberFormat("en");
  const fixed = (value, digits) => value.toFixed(digits);
  // Three significant digits: 0.0123, 4.94, 107.
  const short = (value) => {
    if (value === 0) return "0";
    const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
    return fixed(value, Math.min(digits, 6));
  };
  const size = (bytes) => {
    if (bytes >= GB) return `${short(bytes / GB)} GB`;
    if (bytes >= 1e6) return `${short(bytes / 1e6)} MB`;
    return bytes >= 1e3 ? `${short(bytes / 1e3)} kB` : `${bytes} bytes`;
  };

  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== null) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  };

  // --- the form -----------------------------------------------------------------------------

  const NUMBERS = ["rank", "tokens", "bottleneck", "batch_size", "seq_len"];
  const CHOICES = ["method", "quantization", "block_size", "precision", "optimizer", "attention",
    "implementation"]; // prettier-ignore
  const SWITCHES = ["double_quantization", "gradient_checkpointing"];

  function fill() {
    for (const [family, names] of Object.entries(data.groups)) {
      const group = element("optgroup", { label: family });
      for (const name of names) group.append(element("option", { value: name }, name));
      field("model").append(group);
    }
    field("model").append(element("option", { value: "custom" }, "custom numbers"));
    for (const name of CHOICES) {
      for (const [value, label] of data.choices[name]) {
        field(name).append(element("option", { value }, label));
      }
    }
    const custom = form.querySelector("[data-show=custom]");
    for (const { key, label } of data.custom) {
      const id = `calculator-${key}`;
      const input = element("input", {
        id, name: key, type: "number", min: 1, max: 1000000, step: 1, inputmode: "numeric",
      }); // prettier-ignore
      custom.append(
        element("div", { class: "calc-field" }, element("label", { for: id }, label), input),
      );
    }
    const tied = element("input", { name: "tied", type: "checkbox" });
    custom.append(
      element("label", { class: "calc-check calc-wide" }, tied,
        element("span", {}, "The output layer shares the embedding's weights")), // prettier-ignore
    );
  }

  // The checkboxes of the layers that LoRA can adapt; they differ between architectures.
  function showTargets(family, chosen) {
    const box = form.querySelector(".calc-names");
    if (box.dataset.family === family) return;
    box.dataset.family = family;
    box.replaceChildren(
      ...data.targets[family].map((name) =>
        element("label", { class: "calc-check" },
          element("input", { name: "target", type: "checkbox", value: name }),
          element("span", {}, element("code", {}, name)))), // prettier-ignore
    );
    const known = chosen.filter((name) => data.targets[family].includes(name));
    const ticked = known.length ? known : data.default_targets[family];
    for (const input of form.querySelectorAll("[name=target]")) {
      input.checked = ticked.includes(input.value);
    }
  }

  // The numbers of the chosen model; custom ones are of a decoder of Llama's kind.
  function architecture({ name, custom }) {
    if (name !== "custom") return data.presets[name];
    const numbers = { ...custom, tied: Number(custom.tied) };
    return { ...data.presets[data.default_model], ...numbers };
  }

  const familyOf = (name) => architecture({ name, custom: {} }).family;

  function write(model, settings) {
    field("model").value = model.name;
    for (const { key } of data.custom) field(key).value = model.custom[key];
    field("tied").checked = model.custom.tied;
    for (const name of [...NUMBERS, ...CHOICES]) field(name).value = settings[name];
    for (const name of SWITCHES) field(name).checked = settings[name];
    field("all_linear").checked = settings.targets === "all-linear";
    form.querySelector(".calc-names").dataset.family = "";
    showTargets(familyOf(model.name), [settings.targets ?? []].flat());
  }

  // The form as {model, settings}, or null after marking what is wrong.
  function read() {
    const wrong = [...form.querySelectorAll("input[type=number]")].filter((input) => {
      const bad = input.offsetParent !== null && !input.checkValidity();
      input.setAttribute("aria-invalid", bad || input.value === "");
      return bad || (input.offsetParent !== null && input.value === "");
    });
    if (wrong.length) {
      const label = wrong[0].labels[0].textContent;
      status.textContent =
        `${label}: a whole number from ${whole.format(wrong[0].min)} to ` +
        `${whole.format(wrong[0].max)} is needed. The numbers are those of the last valid settings.`;
      return null;
    }
    if (field("model").value === "custom" && field("heads").value % field("kv_heads").value) {
      status.textContent = "Heads: a multiple of the key/value heads is needed.";
      return null;
    }
    const settings = {};
    for (const name of NUMBERS) settings[name] = Number(field(name).value) || data.defaults[name];
    for (const name of CHOICES) settings[name] = field(name).value;
    settings.block_size = Number(settings.block_size);
    for (const name of SWITCHES) settings[name] = field(name).checked;
    const ticked = [...form.querySelectorAll("[name=target]:checked")].map((input) => input.value);
    if (!field("all_linear").checked && !ticked.length) {
      status.textContent = "Target modules: choose at least one.";
      return null;
    }
    settings.targets = field("all_linear").checked ? "all-linear" : ticked;
    const model = { name: field("model").value, custom: { tied: field("tied").checked } };
    for (const { key } of data.custom) model.custom[key] = Number(field(key).value);
    status.textContent = "";
    return { model, settings };
  }

  // Why there is no estimate, as `peftlab estimate` says it; "" if there is one.
  function refusal({ model, settings }) {
    const { positions } = architecture(model);
    const virtual = ["prefix", "prompt"].includes(settings.method) ? settings.tokens : 0;
    if (!positions || settings.seq_len + virtual <= positions) return "";
    return `No estimate: ${model.name} has ${whole.format(positions)} positions, fewer than ` +
      `${whole.format(settings.seq_len + virtual)} tokens. Use shorter sequences.`; // prettier-ignore
  }

  // Offer only what goes together, and show what the method uses; what had to be changed, in words.
  function adjust() {
    const changed = [];
    const refused = data.unsupported[familyOf(field("model").value)];
    for (const option of field("method").options) option.disabled = refused.includes(option.value);
    if (refused.includes(field("method").value)) {
      field("method").value = data.defaults.method;
      changed.push(`Method: ${field("method").selectedOptions[0].text}`);
    }
    const method = field("method").value;
    const uses = { custom: field("model").value === "custom", ...data.uses[method] };
    for (const part of form.querySelectorAll("[data-show]")) {
      part.hidden = !uses[part.dataset.show];
    }
    showTargets(familyOf(field("model").value), []);
    form.querySelector(".calc-names").hidden = field("all_linear").checked;
    // Each choice is offered as those before it allow.
    let before = `${method}/`;
    for (const name of data.validated.slice(1)) {
      const control = field(name);
      const start = before;
      const allows = (value) =>
        data.valid.some((valid) => `${valid}/`.startsWith(`${start}${value}/`));
      if (control.type === "checkbox") {
        control.disabled = !allows(!control.checked);
        if (!allows(control.checked)) {
          control.checked = !control.checked;
          changed.push(`${control.labels[0].textContent.trim()}: off`);
        }
        before += `${control.checked}/`;
      } else {
        for (const option of control.options) option.disabled = !allows(option.value);
        if (control.selectedOptions[0].disabled) {
          control.value = [...control.options].find((option) => !option.disabled).value;
          changed.push(`${control.labels[0].textContent}: ${control.selectedOptions[0].text}`);
        }
        before += `${control.value}/`;
      }
    }
    return changed.length ? `Changed, because the rest allows no other: ${changed.join("; ")}.` : "";
  }

  // --- the link ------------------------------------------------------------------------------

  // Only what differs from the defaults, so that links stay short.
  function toHash({ model, settings }) {
    const query = new URLSearchParams();
    const put = (name, value, usual) => {
      if (String(value) !== String(usual)) query.set(name, value);
    };
    put("model", model.name, data.default_model);
    if (model.name === "custom") {
      for (const [name, value] of Object.entries(model.custom)) {
        put(name, value, data.defaults_custom[name]);
      }
    }
    const usual = { ...data.defaults, targets: data.default_targets[familyOf(model.name)] };
    for (const [name, value] of Object.entries(settings)) put(name, value, usual[name]);
    return query.toString();
  }

  // Values that the form does not offer are left at their defaults, and named.
  function fromHash(hash) {
    const query = new URLSearchParams(hash.replace(/^#/, ""));
    const model = { name: data.default_model, custom: { ...data.defaults_custom } };
    const settings = { ...data.defaults };
    const ignored = [];
    const parse = (name, text, usual) => {
      if (typeof usual === "boolean") return { true: true, false: false }[text];
      if (typeof usual !== "number") {
        return data.choices[name].some(([value]) => value === text) ? text : undefined;
      }
      const number = /^[1-9]\d{0,6}$/.test(text) ? Number(text) : undefined;
      const choices = data.choices[name];
      return choices && !choices.some(([value]) => value === number) ? undefined : number;
    };
    for (const [name, text] of query) {
      let value;
      if (name === "model") {
        value = text === "custom" || text in data.presets ? text : undefined;
        model.name = value ?? model.name;
      } else if (name === "targets") {
        settings.targets = text === "all-linear" ? text : text.split(",");
        value = text;
      } else if (Object.hasOwn(settings, name)) {
        value = parse(name, text, settings[name]);
        settings[name] = value ?? settings[name];
      } else if (Object.hasOwn(model.custom, name)) {
        value = parse(name, text, model.custom[name]);
        model.custom[name] = value ?? model.custom[name];
      }
      if (value === undefined) ignored.push(`${name}=${text}`);
    }
    return { model, settings, ignored };
  }

  // --- the results ---------------------------------------------------------------------------

  const part = (selector) => root.querySelector(selector);

  function segments(components, whole) {
    return components.filter(({ bytes }) => bytes > 0).map(({ index, bytes, label }) =>
      element("span", {
        class: `calc-part calc-c${index}`, style: `width:${(100 * bytes) / whole}%`, title: label,
      })); // prettier-ignore
  }

  function show(result) {
    const peak = result.peak_bytes;
    const components = data.components.map(({ name, label }, index) => (
      { index, label, bytes: result.components[name] }
    )); // prettier-ignore
    const fitting = data.gpus.filter((gpu) => peak <= gpu.usable_bytes);
    part(".calc-summary").textContent =
      `Peak: ${short(peak / GIB)} GiB (${short(peak / GB)} GB). ` +
      (fitting.length ? `Fits a GPU of ${fitting[0].gib} GB or more.` : "Fits none of the GPUs below.");
    part(".calc-stack").replaceChildren(...segments(components, peak));

    const row = (head, bytes) => element("tr", {},
      element("th", { scope: "row" }, ...head),
      element("td", {}, short(bytes / GB)),
      element("td", {}, short(bytes / GIB)),
      element("td", {}, `${fixed((100 * bytes) / peak, 1)} %`)); // prettier-ignore
    part("tbody").replaceChildren(...components.map(({ index, label, bytes }) =>
      row([element("span", { class: `calc-swatch calc-c${index}`, "aria-hidden": "true" }), label],
        bytes))); // prettier-ignore
    part("tfoot").replaceChildren(row(["Peak"], peak));

    const facts = [
      ["Peak in bytes", whole.format(peak)],
      ["Parameters of the model", whole.format(result.parameters)],
      ["Parameters that train",
        `${whole.format(result.trained)} (${short((100 * result.trained) / result.parameters)} %)`],
      ["File to keep for the task", size(result.file_bytes)],
      ["When it is reached", result.moment],
      ["Arithmetic of a step", `${short(result.flops / 1e12)} TFLOP`],
    ]; // prettier-ignore
    if (result.paged_bytes > 0) {
      facts.push(["In managed memory, not counted", size(result.paged_bytes)]);
    }
    part(".calc-facts").replaceChildren(...facts.map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value)))); // prettier-ignore

    part(".calc-gpus").replaceChildren(...data.gpus.map((gpu) => {
      const fits = peak <= gpu.usable_bytes;
      const used = `${Math.round((100 * peak) / gpu.bytes)} % of its memory`;
      const verdict = fits ? `fits: ${used}` : `does not fit: needs ${used}`;
      const end = element("span", {
        class: "calc-limit", style: `left:${(100 * gpu.bytes) / peak}%`,
      }); // prettier-ignore
      return element("li", { class: fits ? "calc-fits" : "calc-small" },
        element("span", { class: "calc-gpu" },
          element("strong", {}, `${gpu.gib} GB`), ` ${gpu.names}`),
        element("span", { class: "calc-track", "aria-hidden": "true" },
          ...segments(components, Math.max(peak, gpu.bytes)),
          ...(peak > gpu.bytes ? [end] : [])),
        element("span", { class: "calc-verdict" }, verdict)); // prettier-ignore
    }));
  }

  // --- together ------------------------------------------------------------------------------

  function update() {
    const note = adjust();
    const wanted = read();
    if (wanted === null) return;
    const hash = toHash(wanted);
    const address = location.pathname + location.search + (hash ? `#${hash}` : "");
    history.replaceState(null, "", address);
    const problem = refusal(wanted);
    status.textContent = problem || note;
    root.classList.toggle("calc-refused", problem !== "");
    if (problem) {
      part(".calc-summary").textContent = problem;
      return;
    }
    show(peftlabEstimate(data, architecture(wanted.model), wanted.settings));
  }

  function open() {
    const { model, settings, ignored } = fromHash(location.hash);
    write(model, settings);
    update();
    if (ignored.length) {
      status.textContent = `The link holds what this page does not know: ${ignored.join(", ")}.`;
    }
  }

  async function copy() {
    const address = location.href;
    try {
      await navigator.clipboard.writeText(address);
      status.textContent = "The link is in the clipboard.";
    } catch {
      status.textContent = `Copy this link: ${address}`; // pages from a disk may not copy
    }
  }

  part(".calc-headroom").textContent =
    "Bars show the peak against the memory that the vendor states. A GPU counts as large enough " +
    `if ${data.headroom_percent} % of that stays free. A line in a bar is where a smaller one ends.`;
  fill();
  open();
  root.hidden = false;
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    history.replaceState(null, "", location.pathname + location.search);
    open();
  });
  form.querySelector("[data-action=copy]").addEventListener("click", copy);
  window.addEventListener("hashchange", open);
})();
