import Hummingbird

/// The playground at /: one prompt to several architectures at once, and a live picture of the pool. One file, no build step,
/// nothing from elsewhere.
enum Page {
    static var response: Response {
        var response = Response.text(html, type: "text/html; charset=utf-8")
        response.headers[.contentSecurityPolicy] =
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
        return response
    }

    static let html = #"""
        <!doctype html>
        <html lang="en">
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>kvlab</title>
        <style>
        :root { color-scheme: light dark; --line: #8884; --soft: #888; }
        body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1200px; padding: 1rem; }
        h1 { font-size: 1.3rem; margin: 0 0 .2rem; } h2 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
        p { margin: .2rem 0; color: var(--soft); }
        textarea, input, button { font: inherit; } textarea { width: 100%; box-sizing: border-box; min-height: 4rem; }
        form > div { display: flex; flex-wrap: wrap; gap: .8rem; align-items: center; margin: .5rem 0; }
        input[type=number] { width: 5rem; }
        #answers { display: grid; grid-template-columns: repeat(auto-fit, minmax(260px, 1fr)); gap: 1rem; }
        .answer { border: 1px solid var(--line); border-radius: 6px; padding: .7rem; }
        .answer header { display: flex; justify-content: space-between; gap: .5rem; flex-wrap: wrap; }
        .answer pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .5rem 0 0; font: inherit; min-height: 3rem; }
        .figures { color: var(--soft); font-variant-numeric: tabular-nums; }
        .failed { color: #c33; }
        canvas { width: 100%; border: 1px solid var(--line); border-radius: 6px; image-rendering: pixelated; }
        table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
        th, td { text-align: right; padding: .15rem .6rem; border-bottom: 1px solid var(--line); } th:first-child, td:first-child { text-align: left; }
        .swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em; }
        </style>
        <h1>kvlab</h1>
        <p>One prompt to several KV-cache architectures at once, out of one pool of cache memory.</p>
        <form id="form">
          <textarea id="prompt" aria-label="Prompt">Once upon a time</textarea>
          <div id="models"></div>
          <div>
            <label>tokens <input id="tokens" type="number" value="128" min="1" max="4096"></label>
            <label>temperature <input id="temperature" type="number" value="0" min="0" max="5" step="0.1"></label>
            <label>copies <input id="copies" type="number" value="1" min="1" max="64"></label>
            <label id="keyLabel" hidden>API key <input id="key" type="password" autocomplete="off"></label>
            <button id="send">Send</button> <button id="stop" type="button">Stop</button>
          </div>
        </form>
        <div id="answers"></div>
        <h2>The pool</h2>
        <p id="poolText"></p>
        <canvas id="pool" height="10"></canvas>
        <table><thead><tr><th>model</th><th>attention</th><th>KV bytes/token</th><th>pages</th><th>idle prefixes</th><th>sequences</th><th>tokens</th></tr></thead><tbody id="poolRows"></tbody></table>
        <script>
        "use strict";
        const $ = id => document.getElementById(id);
        const colors = ["#3b82c4", "#d9822b", "#3f9c5a", "#a855a8", "#c24d4d", "#7a7a2e", "#2fa3a3", "#8a6d3b"];
        let models = [], abort = null;
        const headers = () => {
          const result = { "Content-Type": "application/json" };
          if ($("key").value) result.Authorization = "Bearer " + $("key").value;
          return result;
        };
        const bytes = n => n >= 1 << 20 ? (n / (1 << 20)).toFixed(1) + " MiB" : (n / 1024).toFixed(1) + " KiB";
        async function load() {
          const answer = await fetch("/v1/models", { headers: headers() });
          if (answer.status === 401) { $("keyLabel").hidden = false; return; }
          models = (await answer.json()).data;
          $("models").replaceChildren(...models.map((model, index) => {
            const label = document.createElement("label"), box = document.createElement("input"), swatch = document.createElement("span");
            box.type = "checkbox"; box.checked = true; box.value = model.id;
            swatch.className = "swatch"; swatch.style.background = colors[index % colors.length];
            label.append(box, " ", swatch, model.id + " (" + model.attention + ")");
            return label;
          }));
        }
        function card(model, title) {
          const box = document.createElement("section"), head = document.createElement("header");
          const name = document.createElement("b"), figures = document.createElement("span"), text = document.createElement("pre");
          box.className = "answer"; figures.className = "figures"; name.textContent = title; box.dataset.model = model.id;
          head.append(name, figures); box.append(head, text);
          $("answers").append(box);
          return { figures, text, box };
        }
        async function ask(model, prompt, signal, copy) {
          const view = card(model, model.id + (copy ? " #" + (copy + 1) : ""));
          let first = 0, count = 0, used = 0;
          try {
            const answer = await fetch("/v1/completions", {
              method: "POST", headers: headers(), signal,
              body: JSON.stringify({ model: model.id, prompt, max_tokens: +$("tokens").value, temperature: +$("temperature").value,
                                     seed: copy, stream: true, stream_options: { include_usage: true } })
            });
            if (!answer.ok) throw new Error((await answer.json()).error.message);
            const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
            let rest = "";
            for (;;) {
              const { value, done } = await reader.read();
              if (done) break;
              rest += value;
              const lines = rest.split("\n");
              rest = lines.pop();
              for (const line of lines) {
                if (!line.startsWith("data: ") || line === "data: [DONE]") continue;
                const chunk = JSON.parse(line.slice(6));
                if (chunk.error) throw new Error(chunk.error.message);
                if (chunk.usage) used = chunk.usage.total_tokens;
                if (!chunk.choices.length) continue;
                if (!first) first = performance.now();
                if (chunk.choices[0].finish_reason === null) count += 1;
                view.text.textContent += chunk.choices[0].text;
                const seconds = (performance.now() - first) / 1000;
                view.figures.textContent = count + " tokens" + (count > 1 && seconds > 0 ? ", " + ((count - 1) / seconds).toFixed(0) + " tokens/s" : "");
              }
            }
            const per = perToken[model.id];
            if (per && used) view.figures.textContent += ", " + bytes(used * per) + " of cache";
            view.box.dataset.done = "true";
          } catch (error) {
            view.figures.textContent = error.name === "AbortError" ? "stopped" : error.message;
            view.figures.classList.add("failed");
          }
        }
        $("form").addEventListener("submit", event => {
          event.preventDefault();
          if (abort) abort.abort();
          abort = new AbortController();
          $("answers").replaceChildren();
          const chosen = [...$("models").querySelectorAll("input:checked")].map(box => box.value);
          for (const model of models.filter(model => chosen.includes(model.id)))
            for (let copy = 0; copy < Math.min(64, +$("copies").value || 1); copy++) ask(model, $("prompt").value, abort.signal, copy);
        });
        $("stop").addEventListener("click", () => abort && abort.abort());
        $("key").addEventListener("change", load);
        const perToken = {};
        async function drawPool() {
          try {
            const answer = await fetch("/v1/kvlab/pool", { headers: headers() });
            if (!answer.ok) return;
            const pool = await answer.json();
            const canvas = $("pool"), columns = 256, rows = Math.ceil(pool.pages / columns), cell = 4;
            canvas.width = columns * cell; canvas.height = rows * cell;
            const context = canvas.getContext("2d");
            for (let page = 0; page < pool.pages; page++) {
              const letter = pool.map[page], code = letter.toLowerCase().charCodeAt(0) - 97;
              context.globalAlpha = letter === "." ? .12 : letter === letter.toLowerCase() ? .75 : 1;
              context.fillStyle = letter === "." ? "#888" : colors[code % colors.length];
              context.fillRect(page % columns * cell, Math.floor(page / columns) * cell, cell - 1, cell - 1);
            }
            $("poolText").textContent = pool.pages - pool.free_pages + " of " + pool.pages + " pages of " + bytes(pool.page_bytes) + " held; "
              + pool.running + " sequences running, " + pool.waiting + " waiting. Shared pages are darker.";
            $("poolRows").replaceChildren(...pool.models.map((model, index) => {
              perToken[model.id] = model.bytes_per_token;
              const mine = pool.sequences.filter(sequence => sequence.model === model.id), row = document.createElement("tr");
              for (const value of [model.id, model.attention, model.bytes_per_token, model.pages, model.idle_prefix_pages, mine.length,
                                   mine.reduce((sum, sequence) => sum + sequence.tokens, 0)]) {
                const cell = document.createElement("td");
                cell.textContent = value;
                row.append(cell);
              }
              const swatch = document.createElement("span");
              swatch.className = "swatch"; swatch.style.background = colors[index % colors.length];
              row.firstChild.prepend(swatch);
              return row;
            }));
          } catch {}
        }
        load().then(() => { drawPool(); if (location.hash === "#send") $("form").requestSubmit(); });
        setInterval(drawPool, 500);
        </script>
        </html>
        """#
}
