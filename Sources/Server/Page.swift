import Hummingbird

/// The playground at /: one prompt to several architectures at once, and a live picture of the pool. One document, no build
/// step, nothing from elsewhere.
///
/// An address with `#send` sends the form once the models are there; `#send&copies=8&tokens=32&prompt=Hello` fills it in first.
enum Page {
    static var response: Response {
        var response = Response.text(html, type: "text/html; charset=utf-8")
        response.headers[.contentSecurityPolicy] =
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
            + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        return response
    }

    static let html = """
        <!doctype html>
        <html lang="en">
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>kvlab</title>
        <style>
        \(style)
        </style>
        \(body)
        <script>
        \(script)
        </script>
        </html>
        """

    private static let body = #"""
        <h1>kvlab</h1>
        <p class="soft">One prompt to several KV-cache architectures at once, out of one pool of cache memory.</p>
        <p id="stale" class="failed" role="alert" hidden></p>
        <form id="form">
          <textarea id="prompt" aria-label="Prompt">Once upon a time</textarea>
          <div id="models" role="group" aria-label="Models"></div>
          <div>
            <label>tokens <input id="tokens" type="number" value="128" min="1" max="4096"></label>
            <label>temperature <input id="temperature" type="number" value="0" min="0" max="5" step="any"></label>
            <label>copies <input id="copies" type="number" value="1" min="1" max="64"></label>
            <label id="keyLabel" hidden>API key <input id="key" type="password" autocomplete="off"></label>
            <button id="send">Send</button> <button id="stop" type="button" disabled>Stop</button>
          </div>
        </form>
        <p id="status" role="status" aria-live="polite"></p>
        <section id="poolPart" hidden>
          <h2>The pool</h2>
          <p id="poolText" class="soft"></p>
          <div id="bar" aria-hidden="true"></div>
          <canvas id="pool" role="img"></canvas>
          <ul id="legend"></ul>
        </section>
        <div id="answers"></div>
        <section id="tablePart" hidden>
          <h2>What each model holds</h2>
          <table>
            <thead><tr><th>model</th><th>attention</th><th>KV bytes/token</th><th>used pages</th><th>shared pages</th>
              <th>idle pages</th><th>sequences</th><th>tokens in cache</th></tr></thead>
            <tbody id="poolRows"></tbody>
          </table>
        </section>
        """#
}
