extension Page {
    // A page that one sequence uses is solid, a shared one has a hole, an idle one is hollow, in their model's colour: shapes
    // that read without colours too. The script draws the same on the canvas.
    static let style = #"""
        :root { color-scheme: light dark; --paper: #fff; --ink: #1c1e21; --soft: #62676e; --line: #d5d9de; --free: #e9ebee;
          --failed: #b5303f;
          --m0: #0067a5; --m1: #c2500a; --m2: #00805c; --m3: #a8478b;
          --m4: #8a6d00; --m5: #5a55cc; --m6: #b5303f; --m7: #2f7f8f; }
        @media (prefers-color-scheme: dark) { :root { --paper: #16181b; --ink: #e6e8ea; --soft: #9ba1a8; --line: #3a3f45;
          --free: #2a2e33; --failed: #f58a94;
          --m0: #5ab4f0; --m1: #f08c4a; --m2: #3cc79d; --m3: #e08cc4;
          --m4: #e5c94b; --m5: #aaa6ff; --m6: #f58a94; --m7: #6fd0de; } }
        body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1200px; padding: 1rem;
          background: var(--paper); color: var(--ink); }
        h1 { font-size: 1.3rem; margin: 0 0 .2rem; } h2 { font-size: 1rem; margin: 1rem 0 .3rem; }
        p { margin: .2rem 0; } .soft, .figures { color: var(--soft); } .failed { color: var(--failed); }
        [hidden] { display: none !important; }
        #stale { border: 1px solid; border-radius: 6px; padding: .4rem .7rem; } #status { min-height: 1.5em; }
        textarea, input, button { font: inherit; } textarea { width: 100%; box-sizing: border-box; min-height: 4rem; }
        form > div { display: flex; flex-wrap: wrap; gap: .5rem .8rem; align-items: center; margin: .5rem 0; }
        form label { overflow-wrap: anywhere; } input[type=number] { width: 5rem; } #key { width: 12rem; max-width: 60vw; }
        #answers { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(260px, 100%), 1fr)); gap: .8rem;
          margin: 1rem 0; }
        .answer { border: 1px solid var(--line); border-radius: 6px; padding: .6rem .7rem; min-width: 0; }
        .answer header { display: flex; justify-content: space-between; gap: 0 .5rem; flex-wrap: wrap; }
        .answer b { overflow-wrap: anywhere; }
        .answer pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .4rem 0 0; font: inherit; min-height: 3em;
          max-height: 15em; overflow-y: auto; }
        .figures, table, #legend { font-variant-numeric: tabular-nums; }
        #bar { display: flex; height: 14px; border-radius: 3px; overflow: hidden; background: var(--free); margin: .4rem 0; }
        #pool { display: block; width: 100%; }
        #legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; margin: .4rem 0; padding: 0; }
        .swatch { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: .4em; --c: var(--soft); }
        .used { background: var(--c); } .free { background: var(--free); } .idle { box-shadow: inset 0 0 0 1px var(--c); }
        .shared { background: radial-gradient(circle, var(--paper) 1.6px, transparent 2.2px) center / 10px 10px var(--c); }
        .stale #poolPart, .stale #tablePart { opacity: .55; }
        table { border-collapse: collapse; width: 100%; }
        th, td { text-align: right; padding: .15rem .6rem; border-bottom: 1px solid var(--line); }
        th { color: var(--soft); vertical-align: bottom; }
        th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
        @media (max-width: 640px) {
          thead { display: none; } tr { display: block; padding: .4rem 0; border-bottom: 1px solid var(--line); }
          td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: 0; }
          td:first-child { display: block; font-weight: 600; }
          td:not(:first-child)::before { content: attr(data-name); color: var(--soft); }
        }
        """#
}
