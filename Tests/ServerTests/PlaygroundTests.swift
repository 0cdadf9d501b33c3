import Foundation
import TestSupport
import Testing

/// The playground at / in a headless Chromium, spoken to through its debugging pipe by Python's standard library alone.
@Suite struct PlaygroundTests {
    static let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    @Test(
        .enabled(if: chromium != nil, "there is no Chromium"), .enabled(if: Python.has("fcntl"), "there is no python3"))
    func `the playground streams ten answers on one connection, draws the pool meanwhile, and says what is wrong`() async throws {
        let open = try await ServerFixture()
        let locked = try await ServerFixture { options, _ in options.apiKeys = ["k"] }
        let result = try await Python.runConcurrently(
            Self.browser + "\n" + Self.checks, [try #require(Self.chromium), "\(open.port)", "\(locked.port)"])
        #expect(result.status == 0 && result.output.contains("fine"), "\(result.errors)")
    }

    private static let browser = #"""
        import fcntl, json, os, subprocess, sys, time

        class Browser:
            """One page of a Chromium that is spoken to over pipes: it reads commands from its file 3 and answers on its file 4."""

            def __init__(self, path):
                ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in os.pipe() + os.pipe()]
                def connect():
                    os.dup2(ends[0], 3)
                    os.dup2(ends[3], 4)
                self.process = subprocess.Popen(
                    [path, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"], preexec_fn=connect, pass_fds=(3, 4),
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                os.close(ends[0]); os.close(ends[3])
                self.input, self.output, self.count, self.session = os.fdopen(ends[1], "wb"), os.fdopen(ends[2], "rb"), 0, None
                self.rest = b""
                target = self.call("Target.createTarget", url="about:blank")["targetId"]
                self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
                self.call("Page.enable"); self.call("Runtime.enable"); self.call("Network.enable")

            def call(self, method, **params):
                self.count += 1
                message = {"id": self.count, "method": method, "params": params}
                if self.session: message["sessionId"] = self.session
                self.input.write(json.dumps(message).encode() + b"\0"); self.input.flush()
                while True:
                    while b"\0" not in self.rest:
                        chunk = self.output.read1(1 << 20)
                        if not chunk: raise SystemExit("the browser ended")
                        self.rest += chunk
                    line, self.rest = self.rest.split(b"\0", 1)
                    answer = json.loads(line)
                    if answer.get("method") == "Runtime.exceptionThrown": raise SystemExit("script error: " + line.decode()[:1000])
                    if answer.get("id") == self.count:
                        if "error" in answer: raise SystemExit(method + ": " + str(answer["error"]))
                        return answer["result"]

            def js(self, expression):
                result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
                if "exceptionDetails" in result: raise SystemExit(expression + ": " + str(result)[:1000])
                return result["result"].get("value")

            def until(self, expression, seconds=120):
                end = time.time() + seconds
                while time.time() < end:
                    if self.js(expression): return
                    time.sleep(0.02)
                raise SystemExit("never came: " + expression + "\n" + str(self.js("document.body.innerText"))[:3000])

            def open(self, url):
                self.call("Page.navigate", url=url)
                self.until("document.readyState === 'complete' && location.href === %s && typeof watch === 'function'" % json.dumps(url))
        """#

    private static let checks = #"""
        browser = Browser(sys.argv[1])
        open_page, locked_page = ["http://127.0.0.1:%s/" % port for port in sys.argv[2:4]]
        text = "document.getElementById('%s').textContent"
        done = "document.querySelectorAll('[data-done]').length"

        # More answers than a browser opens connections to a host, on one connection; an empty field means its default.
        browser.open(open_page + "#send&copies=5&tokens=")
        browser.until(done + " === 10")
        browser.until(text % "status" + ".startsWith('10 answers, 1280 tokens')".replace("1280", "1,280"))
        assert browser.js("document.getElementById('tokens').value") == "128"
        assert browser.js("[...document.querySelectorAll('.figures')].every(it => /^128 tokens, \\d+ tokens\\/s, [\\d.]+ KiB of cache$/.test(it.textContent))")
        assert int(browser.js("document.getElementById('pool').dataset.live")) >= 2
        assert browser.js("performance.getEntriesByName(location.origin + '/v1/kvlab/play').length") == 1
        # The server was never called away, not even before its first answer.
        assert browser.js(text % "stale") == ""
        legend = browser.js(text % "legend")
        for part in ["used by one sequence: 0", "shared by several: 0", "idle, kept for prefixes: ", "free: "]:
            assert part in legend, legend

        # Cards that wait say so.
        browser.js("""var seen = new Set();
            new MutationObserver(() => document.querySelectorAll('.figures').forEach(it => seen.add(it.textContent)))
                .observe(document.getElementById('answers'), { childList: true, subtree: true, characterData: true });
            document.getElementById('form').requestSubmit()""")
        browser.until(done + " === 10 && !running")
        assert browser.js("seen.has('queued')")

        # Nothing chosen.
        browser.js("document.querySelectorAll('#models input').forEach(box => box.checked = false); document.getElementById('form').requestSubmit()")
        assert browser.js(text % "status") == "Choose at least one model."
        browser.js("document.querySelector('#models input').checked = true")

        # A prompt that is too long: the server's own sentence.
        browser.js("document.getElementById('prompt').value = 'dog '.repeat(100); document.getElementById('form').requestSubmit()")
        browser.until(text % "status" + ".includes('400 bytes')")
        assert browser.js("document.querySelectorAll('.figures.failed').length") == 5

        # A window of 390 pixels.
        browser.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
        browser.until("innerWidth === 390")
        assert browser.js("[...document.querySelectorAll('*')].filter(it => it.getBoundingClientRect().right > 390.5).map(it => it.outerHTML.slice(0, 80))") == []
        assert browser.js("document.documentElement.scrollWidth") <= 390
        browser.call("Emulation.clearDeviceMetricsOverride")

        # A chat of each model, over several messages; a blank one is not sent.
        # An address with another fragment alone would not load the page again.
        browser.call("Page.navigate", url="about:blank")
        browser.open(open_page + "#mode=chat&tokens=12")
        browser.until("models.length === 2")
        def send(message): browser.js("document.getElementById('prompt').value = %s; document.getElementById('prompt').dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', cancelable: true }))" % json.dumps(message))
        send("  ")
        assert browser.js(text % "status") == "Write a message."
        browser.js("document.getElementById('prompt').value = ''")
        for count in [1, 2]:
            send("message %d" % count)
            browser.until(done + " === 2 && !running")
            assert browser.js("[...chats.values()].map(chat => chat.length)") == [2 * count] * 2
            assert browser.js("[...document.querySelectorAll('.turns')].map(it => it.children.length)") == [2 * count] * 2
            assert browser.js("document.getElementById('prompt').value") == ""
        # The models answer differently, and each hears its own answers.
        assert browser.js("chats.get('mha')[1].content !== chats.get('mqa')[1].content")
        assert browser.js("document.querySelector('.turns').innerText").startswith("message 1")
        # The chats stand above the pool.
        assert browser.js("document.getElementById('answers').getBoundingClientRect().top < document.getElementById('poolPart').getBoundingClientRect().top")
        # A message that no model has room for is given back, to be shortened.
        send("dog " * 100)
        browser.until("!running && document.querySelectorAll('.figures.failed').length === 2")
        assert browser.js("document.getElementById('prompt').value") == "dog " * 100
        assert browser.js("[...chats.values()].map(chat => chat.length)") == [4, 4]
        # The other mode, and back.
        def mode(name): browser.js("document.querySelector('[value=%s]').click()" % name)
        mode("completion")
        assert browser.js("document.getElementById('prompt').value") == "Once upon a time"
        mode("chat")
        assert browser.js("[...document.querySelectorAll('.turns')].map(it => it.children.length)") == [5, 5]
        browser.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
        browser.until("innerWidth === 390")
        assert browser.js("document.documentElement.scrollWidth") <= 390
        browser.call("Emulation.clearDeviceMetricsOverride")
        browser.js("document.getElementById('fresh').click()")
        assert browser.js("chats.size === 0 && document.getElementById('answers').children.length === 0")

        # The server goes, and comes back.
        browser.call("Page.navigate", url="about:blank")
        browser.open(open_page)
        browser.until("document.querySelectorAll('#models input:checked').length === 2")
        browser.js("document.querySelectorAll('#models input')[1].checked = false")
        def offline(value): browser.call("Network.emulateNetworkConditions", offline=value, latency=0, downloadThroughput=-1, uploadThroughput=-1)
        offline(True)
        browser.until("!document.getElementById('stale').hidden")
        assert "does not answer" in browser.js(text % "stale")
        offline(False)
        browser.until("document.getElementById('stale').hidden")
        assert browser.js("document.querySelectorAll('#models input:checked').length") == 1

        # A key is needed; a wrong one; the right one.
        browser.open(locked_page)
        browser.until(text % "status" + " === 'This server needs an API key.'")
        assert browser.js("document.getElementById('key').getClientRects().length") == 1
        def key(value): browser.js("document.getElementById('key').value = '%s'; document.getElementById('key').dispatchEvent(new Event('change'))" % value)
        key("wrong")
        browser.until(text % "status" + " === 'This API key is wrong.'")
        key("k")
        browser.until(text % "status" + " === 'The key fits.' && !document.getElementById('poolPart').hidden")
        browser.process.terminate()
        print("fine")
        """#
}
