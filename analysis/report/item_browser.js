(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("items-data").textContent);
  const [CONDITION, TARGET, LANG, METRIC, COUNTS, SHOWN, ANSWER_LANG] = [0, 1, 2, 3, 4, 5, 6];
  const STEP = 10;
  const find = (name) => document.getElementById(`items-${name}`);
  const pickers = { condition: find("condition"), target: find("target"), lang: find("lang"), way: find("way") };
  const [count, list, more] = [find("count"), find("list"), find("more")];
  const cells = new Map(data.cells.map((cell) => [cell.slice(0, 3).join("\u0000"), cell]));
  let shown = STEP;

  const make = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const plural = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
  const languageName = (code) => (data.languages[code] ? `${data.languages[code]} (${code})` : code);
  // Labels and tags are English words, also where a list of tags quotes words of another direction.
  const quote = (text, lang) => make("bdi", { lang, dir: lang === "en" ? "ltr" : "auto" }, text);

  const fill = (picker, values, label = (value) => value) => {
    const before = picker.value;
    picker.replaceChildren(...values.map((value) => make("option", { value }, label(value))));
    picker.value = values.includes(before) ? before : values[0];
  };
  const distinct = (place, keep = () => true) => [...new Set(data.cells.filter(keep).map((cell) => cell[place]))];
  const fillPickers = () => {
    fill(pickers.condition, distinct(CONDITION));
    fill(pickers.target, distinct(TARGET, (cell) => cell[CONDITION] === pickers.condition.value));
    const inside = (cell) => cell[CONDITION] === pickers.condition.value && cell[TARGET] === pickers.target.value;
    fill(pickers.lang, distinct(LANG, inside), languageName);
  };

  const passage = (lang, [label, text, start, end]) => {
    const place = make("dd", { lang, dir: "auto" });
    const letters = Array.from(data.texts[text]); // offsets count code points
    if (start === undefined) {
      place.append(letters.join(""));
    } else {
      const marked = make("mark", { title: "gold answer" }, letters.slice(start, end).join(""));
      place.append(letters.slice(0, start).join(""), marked, letters.slice(end).join(""));
    }
    return [make("dt", {}, data.texts[label]), place];
  };

  const run = (lang, [seed, score, right, text]) => {
    const graded = score !== null && score > 0 && score < 1 ? ` ${score.toFixed(2)}` : "";
    const answer = data.texts[text];
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, seed < 0 ? "one run" : `seed ${seed}`),
      make("td", { className: `items-verdict${right ? " items-right" : ""}` }, `${right ? "✓ right" : "✗ wrong"}${graded}`),
      make("td", {}, answer === "" ? make("span", { className: "items-none" }, "no answer") : quote(answer, lang)),
    );
  };
  const runs = (name, lang, answers) =>
    make("table", { className: "items-runs" }, make("caption", {}, name), make("tbody", {}, ...answers.map((one) => run(lang, one))));

  const card = (cell, [row, won, answers]) => {
    const [id, hops, category, passages, gold, baseline] = data.items[row];
    const head = make("p", { className: "items-head" });
    head.append(make("span", { className: `items-way ${won ? "items-won" : "items-lost"}` }, won ? "wrong → right" : "right → wrong"));
    if (hops > 0) head.append(make("span", {}, plural(hops, "hop")));
    if (category) head.append(make("span", {}, make("bdi", {}, category)));
    head.append(make("span", {}, "item ", make("bdi", {}, id)));
    const text = make("dl", { className: "items-text" }, ...passages.flatMap((one) => passage(cell[LANG], one)));
    if (gold.length) {
      const golds = gold.flatMap((one, place) => {
        const answer = data.texts[one];
        const made = answer === "" ? make("span", { className: "items-none" }, "no answer") : quote(answer, cell[ANSWER_LANG]);
        return place ? [" · ", made] : [made];
      });
      text.append(make("dt", {}, "gold"), make("dd", {}, ...golds));
    }
    const sides = make("div", { className: "items-sides" }, runs(`${data.baseline} (baseline)`, cell[ANSWER_LANG], baseline), runs(cell[CONDITION], cell[ANSWER_LANG], answers));
    return make("li", {}, head, ...(text.children.length ? [text] : []), sides);
  };

  const draw = () => {
    const cell = cells.get([pickers.condition.value, pickers.target.value, pickers.lang.value].join("\u0000"));
    const way = pickers.way.value;
    const chosen = cell[SHOWN].filter(([, won]) => way === "" || String(won) === way);
    const [items, won, lost, tied] = cell[COUNTS];
    const total = way === "" ? won + lost : way === "1" ? won : lost;
    const sample = cell[SHOWN].length < won + lost ? ", a sample drawn at random" : "";
    const ties = tied ? ` ${plural(tied, "item")} right in just half of a side's runs: not counted.` : "";
    count.textContent =
      `${chosen.length.toLocaleString("en")} of ${plural(total, "changed item")} shown${sample} ` +
      `(of ${items.toLocaleString("en")} items: ${lost.toLocaleString("en")} right → wrong, ` +
      `${won.toLocaleString("en")} wrong → right by ${cell[METRIC]}).${ties}`;
    list.replaceChildren(...chosen.slice(0, shown).map((one) => card(cell, one)));
    more.hidden = chosen.length <= shown;
    more.textContent = `Show ${Math.min(STEP, chosen.length - shown)} more`;
  };
  const restart = () => {
    shown = STEP;
    fillPickers();
    draw();
  };

  for (const picker of Object.values(pickers)) picker.addEventListener("change", restart);
  more.addEventListener("click", () => {
    const first = shown;
    shown += STEP;
    draw();
    const next = list.children[first];
    next.tabIndex = -1;
    next.focus();
  });
  document.addEventListener("xeval:cell", (event) => {
    const { condition, target, lang } = event.detail;
    if (!cells.has([condition, target, lang].join("\u0000"))) return;
    fillPickers();
    pickers.condition.value = condition;
    fillPickers();
    pickers.target.value = target;
    fillPickers();
    pickers.lang.value = lang;
    pickers.way.value = "";
    restart();
    count.focus({ preventScroll: true });
    pickers.condition.form.scrollIntoView({ block: "start" });
  });
  restart();
})();
