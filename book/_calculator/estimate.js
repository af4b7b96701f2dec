// peftlab.memory in JavaScript: it evaluates the same table of formulas, in the same order as
// peftlab/memory/table.py, and tests/browser/test_calculator.py compares the results.
"use strict";

// data: what peftlab/memory/page.py exports. architecture: the numbers of a model and its family.
// settings: the fields of peftlab.memory.Settings. Sizes are in bytes.
function peftlabEstimate(data, architecture, settings) {
  const { formulas, blocks } = data;

  // --- names and expressions ---------------------------------------------------------------

  const BUILT_IN = Object.assign(Object.create(null), {
    min: Math.min,
    max: Math.max,
    ceil: Math.ceil,
    floor: Math.floor,
    where: (condition, then, otherwise) => (condition ? then : otherwise),
  });

  // Names and their values; those of an outer table are seen from an inner one.
  class Table {
    constructor(names, outer = null) {
      this.names = Object.assign(Object.create(outer ? outer.names : BUILT_IN), names);
    }

    inside(names = {}) {
      return new Table(names, this);
    }

    lookUp(name) {
      if (name in this.names) return this.names[name];
      const [parameters, expression] = formulas.functions[name];
      return (...values) => {
        const local = Object.fromEntries(parameters.map((key, index) => [key, values[index]]));
        return this.inside(local).value(expression);
      };
    }

    value(expression) {
      const { names, run } = compiled(expression);
      return Number(run(...names.map((name) => this.lookUp(name))));
    }

    // Evaluate formulas in their order; each may use those before it.
    add(expressions) {
      for (const [name, expression] of Object.entries(expressions)) {
        this.names[name] = this.value(expression);
      }
      return this;
    }
  }

  // --- the order ---------------------------------------------------------------------------

  const sum = (values) => values.reduce((total, value) => total + value, 0);

  function isTargeted(name) {
    const { targets } = settings;
    const meant = (target) => name === target || name.endsWith(`.${target}`);
    return Number(targets === "all-linear" || targets.some(meant));
  }

  // Add what a block keeps, and where its memory is highest.
  function walkThroughABlock(table, operations) {
    let [kept, keptFirst, weights] = [0, 0, 0];
    // The embeddings of a frozen model need no gradient, so that the first block keeps nothing
    // before something trains.
    let needed = table.value("max(full, prompt, checkpointing)");
    const highest = { forward: [0, 0], backward: [0, 0] };
    for (const { operation, fields, layers } of operations) {
      const here = table.inside().add(fields);
      const rows = Object.entries(layers).map(([name, layer]) =>
        here.inside({ targeted: isTargeted(name) }).add(layer).add(formulas.linear),
      );
      for (const name of rows.length ? ["d_out", ...Object.keys(formulas.linear)] : []) {
        const values = rows.map((row) => row.names[name]);
        here.names[`sum_${name}`] = sum(values);
        here.names[`max_${name}`] = Math.max(...values);
      }
      const { names } = here.add(formulas.operations[operation]);
      needed = Math.max(needed, names.trains);
      kept += names.saved;
      keptFirst += needed ? names.saved : 0;
      weights += names.sum_weight ?? 0;
      for (const direction of Object.keys(highest)) {
        const now = [kept, names[direction]];
        if (sum(now) > sum(highest[direction])) highest[direction] = now;
      }
    }
    Object.assign(table.names, {
      block_saved: kept,
      first_block_saved: keptFirst,
      block_weights: weights,
      forward_saved: highest.forward[0],
      forward_rest: highest.forward[1],
      backward_saved: highest.backward[0],
      backward_rest: highest.backward[1],
    });
  }

  // [name, expressions] of every kind of linear layer but the output head.
  function linearLayers(family) {
    const found = blocks.operations[family].flatMap(({ layers }) =>
      Object.entries(layers).map(([name, layer]) =>
        [name, { ...layer, copies: "layers", in_block: "1" }])); // prettier-ignore
    for (const [name, layer] of Object.entries(blocks.outside[family])) {
      found.push([name, { ...layer, copies: "1", in_block: "0" }]);
    }
    return found;
  }

  // Add the sums over all parameters of the model and all tensors of the adapter.
  function addUpTensors(table, family) {
    const totals = Object.fromEntries(data.summed.map((name) => [name, 0]));
    const tensors = (where, recipe, fields) => {
      const { names } = where.inside().add(fields).add(recipe);
      for (const name of Object.keys(recipe)) {
        if (Object.hasOwn(totals, name)) totals[name] += names[name];
      }
    };

    for (const [name, layer] of linearLayers(family)) {
      const here = table.inside({ targeted: isTargeted(name) }).add(layer);
      for (const fields of Object.values(formulas.parameters_of_linear)) {
        tensors(here, formulas.parameters, fields);
      }
      for (const [copies, numbers] of Object.values(formulas.adapters_of_linear)) {
        tensors(here, formulas.adapter_tensors, { copies, numbers });
      }
    }
    for (const [numbers, copies, isBias] of Object.values(blocks.other[family])) {
      const plain = { numbers, in_linear: "0", packable: "0", in_block: "0" };
      tensors(table, formulas.parameters, { copies, ...plain });
      const offsets = `bitfit * ${isBias} * (${copies})`;
      tensors(table, formulas.adapter_tensors, { copies: offsets, numbers });
    }
    for (const [copies, numbers] of Object.values(formulas.adapters_of_model)) {
      tensors(table, formulas.adapter_tensors, { copies, numbers });
    }
    Object.assign(table.names, totals);
  }

  const { family, ...shape } = architecture;
  const table = new Table({
    ...shape,
    ...data.families[family],
    ...data.methods[settings.method],
    ...data.modes[[settings.method, settings.implementation, settings.precision].join("/")],
    ...data.optimizers[settings.optimizer],
    rank: settings.rank,
    virtual_tokens: settings.tokens,
    bottleneck: settings.bottleneck,
    double_quantization: Number(settings.double_quantization),
    block_size: settings.block_size,
    eager: Number(settings.attention === "eager"),
    flash: Number(settings.attention === "flash"),
    checkpointing: Number(settings.gradient_checkpointing),
    batch: settings.batch_size,
    seq_len: settings.seq_len,
  });
  table.add(formulas.sizes);
  walkThroughABlock(table, blocks.operations[family]);
  addUpTensors(table, family);
  table.add(formulas.totals).add(formulas.flops);

  // --- the highest moment ------------------------------------------------------------------

  let highest = { peak_bytes: -1 };
  for (const [moment, expressions] of Object.entries(formulas.moments)) {
    const alive = {};
    for (const { name, total } of data.components) {
      alive[name] = name in expressions ? table.value(expressions[name]) : table.names[total];
    }
    alive.temporary += table.names.workspaces;
    const components = Object.fromEntries(
      Object.entries(alive).map(([name, bytes]) => [name, Math.trunc(bytes)]),
    );
    const peak = sum(Object.values(components));
    if (peak > highest.peak_bytes) highest = { moment, components, peak_bytes: peak };
  }
  return {
    ...highest,
    parameters: table.names.parameters,
    trained: table.names.trained,
    file_bytes: table.names.file_bytes,
    paged_bytes: table.names.paged,
    flops: table.names.flops,
  };
}

// An expression as a function of the names in it; compiled once.
const compiled = (() => {
  const known = new Map();
  return (expression) => {
    if (!known.has(expression)) {
      const names = [...new Set(expression.match(/[A-Za-z_]\w*/g) ?? [])];
      known.set(expression, { names, run: new Function(...names, `return ${expression};`) });
    }
    return known.get(expression);
  };
})();
