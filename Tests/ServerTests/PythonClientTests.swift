import Foundation
import TestSupport
import Testing

/// Clients written by others, against the server; skipped where they are not installed.
@Suite struct PythonClientTests {
    static let hasOpenAI = Python.has("openai")

    @Test(.enabled(if: hasOpenAI, "python3 has no module openai"))
    func `OpenAI's own client completes, chats and streams`() async throws {
        let server = try await ServerFixture { options, _ in options.apiKey = "k" }
        let script = """
            import sys, openai
            client = openai.OpenAI(base_url=f"http://127.0.0.1:{sys.argv[1]}/v1", api_key="k", max_retries=0)
            assert [m.id for m in client.models.list().data] == ["mha", "mqa"]
            whole = client.completions.create(model="mha", prompt="Hello", max_tokens=20, temperature=0, extra_body={"ignore_eos": True})
            assert whole.usage.completion_tokens == 20 and whole.choices[0].finish_reason == "length", whole
            text = ""
            for chunk in client.completions.create(model="mha", prompt="Hello", max_tokens=20, temperature=0, stream=True,
                                                   stream_options={"include_usage": True}, extra_body={"ignore_eos": True}):
                if chunk.choices: text += chunk.choices[0].text
                else: assert chunk.usage.completion_tokens == 20
            assert text == whole.choices[0].text, (text, whole)
            chat = client.chat.completions.create(model="mqa", messages=[{"role": "user", "content": "Hi"}], max_tokens=100, n=2)
            assert len(chat.choices) == 2 and chat.choices[0].message.role == "assistant"
            parts = list(client.chat.completions.create(model="mqa", messages=[{"role": "user", "content": "Hi"}], max_tokens=5, stream=True))
            assert parts[0].choices[0].delta.role == "assistant" and parts[-1].choices[0].finish_reason
            for bad in [dict(model="nope", prompt="x"), dict(model="mha", prompt="x", n=10**12), dict(model="mha", prompt="x", max_tokens=-1)]:
                try:
                    client.completions.create(**bad)
                    raise SystemExit("accepted " + repr(bad))
                except (openai.NotFoundError, openai.BadRequestError) as error:
                    assert error.body["message"], error
            try:
                openai.OpenAI(base_url=f"http://127.0.0.1:{sys.argv[1]}/v1", api_key="wrong", max_retries=0).models.list()
                raise SystemExit("let in without the key")
            except openai.AuthenticationError:
                pass
            print("fine")
            """
        let result = try await Task.detached { try Python.run(script, ["\(server.port)"]) }.value
        #expect(result.status == 0 && result.output.contains("fine"), "\(result.errors)")
    }

    static let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    @Test(.enabled(if: chromium != nil, "there is no Chromium"))
    func `the page asks both architectures and draws the pool`() async throws {
        let server = try await ServerFixture()
        let browser = try #require(Self.chromium)
        // The page sends its form by itself once the models are there, as a person would.
        let result = try await Task.detached {
            try Python.execute(
                browser,
                [
                    "--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=60000", "--dump-dom",
                    "http://127.0.0.1:\(server.port)/#send",
                ])
        }.value
        #expect(result.output.components(separatedBy: "data-done=\"true\"").count == 3, "\(result.output.suffix(2000))")
        #expect(result.output.contains("pages of 1.0 KiB held"))
    }
}
