import Testing
import Text

@testable import Server

@Suite struct ChatTemplateTests {
    /// What jinja2 makes of the templates that the formats' models come with (Qwen 2.5, Llama 3 Instruct, Llama 2 Chat,
    /// Gemma 3 IT) for these messages, without the beginning-of-text token, which the tokenizer adds.
    private static let rendered: [(ChatTemplate, String)] = [
        (
            .chatml,
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n"
                + "<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"
        ),
        (
            .llama3,
            "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
                + "Hi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello.<|eot_id|>"
                + "<|start_header_id|>user<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
        ),
        (.llama2, "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello. </s><s>[INST] Bye [/INST]"),
        (
            .gemma,
            "<start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nHello.<end_of_turn>\n"
                + "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n"
        ),
        (.plain, "System: Be brief.\nUser: Hi\nAssistant: Hello.\nUser: Bye\nAssistant:"),
    ]

    @Test func `each format writes a chat of several turns as its models were trained`() {
        let messages = [
            ChatTemplate.Message(role: "system", content: "Be brief."), .init(role: "user", content: "Hi"),
            .init(role: "assistant", content: "Hello."), .init(role: "user", content: "Bye"),
        ]
        for (template, text) in Self.rendered {
            #expect(template.turns(messages).joined(separator: "</s><s>") == text, "\(template)")
        }
    }

    @Test func `between two turns the text's end is a token, not its name`() throws {
        let model = ServedModel(
            id: "m", tokenizer: ByteTokenizer(), bosID: nil, eosIDs: [256], chatFormat: .named(.llama2), attention: "MHA")
        let body =
            #"{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]}"#
        let fields = try RequestFields(Array(body.utf8))
        let chat = try ChatRequest(fields, models: [model], limits: ServerLimits(), capacity: { _ in 256 }, tenant: "")
        #expect(
            chat.prompt == Array("[INST] a [/INST] b ".utf8).map { Int32($0) } + [256]
                + Array("[INST] c [/INST]".utf8).map { Int32($0) })
    }
}
