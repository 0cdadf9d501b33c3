import Checkpoints
import Evaluation
import Foundation
import JSON
import Models
import TestSupport
import Testing
import Text

/// Clients written by others, against the server; skipped where they are not installed.
@Suite struct PythonClientTests {
    static let hasOpenAI = Python.has("openai")

    @Test(.enabled(if: hasOpenAI, "python3 has no module openai"))
    func `OpenAI's own client completes, chats and streams`() async throws {
        let server = try await ServerFixture { options, _ in options.apiKeys = ["k"] }
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
        let result = try await Python.runConcurrently(script, ["\(server.port)"])
        #expect(result.status == 0 && result.output.contains("fine"), "\(result.errors)")
    }

    @Test(
        .enabled(if: Python.has("lm_eval, aiohttp, tenacity, transformers"), "python3 has no module lm_eval with its API parts"),
        .enabled(if: SharedData.isPresent, "\(SharedData.skipped)"))
    func `lm-evaluation-harness scores local files as kvlab and PyTorch do`() async throws {
        let folder = SharedData.path("models/stories260K/")
        let checkpoint = try ModelImport.load(folder + "stories260K.bin", tokenizer: folder + "tok512.bin")
        let server = try await ServerFixture(shared: "stories260K", checkpoint)
        let scratch = ScratchDirectory()
        let pairs = SharedData.path("eval/blimp/anaphor_number_agreement.jsonl")
        let stories = try String(contentsOfFile: SharedData.path("text/tinystories-sample.txt"), encoding: .utf8)
        let passages = try stories.components(separatedBy: "\n").filter { $0.utf8.count > 60 }.map {
            String(
                decoding: try JSONEncoder().encode(["text": $0.prefix(300).trimmingCharacters(in: .whitespaces)]), as: UTF8.self)
        }
        try #require(passages.count > 10)
        try scratch.write(Array(passages.joined(separator: "\n").utf8), to: "passages.jsonl")
        func task(_ name: String, _ file: String, _ rest: String) throws {
            let text = """
                task: \(name)
                dataset_path: json
                dataset_kwargs: {data_files: {test: \(file)}}
                test_split: test
                \(rest)
                """
            try scratch.write(Array(text.utf8), to: name + ".yaml")
        }
        try task(
            "local_blimp", pairs,
            """
            output_type: multiple_choice
            doc_to_text: ""
            doc_to_target: 0
            doc_to_choice: "{{[sentence_good, sentence_bad]}}"
            target_delimiter: ""
            metric_list: [{metric: acc}]
            """)
        try task(
            "local_lambada", scratch["passages.jsonl"],
            """
            output_type: loglikelihood
            doc_to_text: "{{text.split(' ')[:-1]|join(' ')}}"
            doc_to_target: "{{' '+text.split(' ')[-1]}}"
            target_delimiter: ""
            metric_list: [{metric: acc}, {metric: perplexity}]
            """)
        let script = """
            import json, lm_eval, os, sys
            from lm_eval.tasks import TaskManager
            port, folder = sys.argv[1:]
            results = lm_eval.simple_evaluate(
                model="local-completions", tasks=["local_blimp", "local_lambada"], batch_size=8, bootstrap_iters=0,
                task_manager=TaskManager(include_path=folder, include_defaults=False), verbosity="ERROR",
                model_args=dict(model="stories260K", base_url=f"http://127.0.0.1:{port}/v1/completions", num_concurrent=4, max_retries=1))
            json.dump(results["results"], open(folder + "/results", "w"), default=str)
            """
        let result = try await Python.runConcurrently(
            script, ["\(server.port)", scratch.path],
            environment: ["HF_HUB_OFFLINE=1", "HF_DATASETS_OFFLINE=1", "HF_HOME=" + scratch["cache"]])
        try #require(result.status == 0, "\(result.errors.suffix(3000))")
        let scores = try JSONValue(parsing: scratch.bytes("results"))
        #expect(scores["local_blimp"]?["acc,none"]?.double == 0.612)
        let own = try ChoiceScore.evaluate(
            try DecoderLM(config: checkpoint.config, parameters: checkpoint.parameters),
            tokenizer: server.models[0].tokenizer, bosID: nil, prefixID: nil,
            try ChoiceTask.lambada.items(passages.joined(separator: "\n")))
        #expect(scores["local_lambada"]?["acc,none"]?.double == own.greedyAccuracy)
        let perplexity = try #require(scores["local_lambada"]?["perplexity,none"]?.double)
        #expect(abs(perplexity / own.perplexity - 1) < 1e-4)
    }

    static let hasCurl = FileManager.default.isExecutableFile(atPath: "/usr/bin/curl")

    @Test(.enabled(if: hasCurl, "there is no curl"))
    func `curl -N shows a stream as it comes`() async throws {
        let server = try await ServerFixture()
        let result = try await Python.concurrently(
            "/usr/bin/curl",
            [
                "-sN", "http://127.0.0.1:\(server.port)/v1/completions", "-H", "Content-Type: application/json", "-d",
                #"{"model":"mha","prompt":"Hello","max_tokens":8,"temperature":0,"ignore_eos":true,"stream":true}"#,
            ])
        let lines = result.output.components(separatedBy: "\n\n").filter { !$0.isEmpty }
        #expect(result.status == 0 && lines.last == "data: [DONE]")
        #expect(lines.count > 2 && lines.allSatisfy { $0.hasPrefix("data: ") })
    }
}
