// What the scripts in data/ hand over, by name; a page may wait for one that is not loaded yet.
const Encoding = (() => {
  const known = {}, waiting = {};
  return {
    add(name, value) {
      known[name] = value;
      (waiting[name] ?? []).forEach((act) => act(value));
    },
    get: (name) => known[name],
    /** The data of a name, from its script where it is not here: scripts load from a folder, where other files do not. */
    load(name) {
      if (known[name]) return Promise.resolve(known[name]);
      return new Promise((resolve) => {
        if (!waiting[name]) {
          const script = document.createElement("script");
          script.src = `data/${name}.js`;
          document.body.append(script);
        }
        (waiting[name] ??= []).push(resolve);
      });
    },
  };
})();
