import JSON
import Testing
import Text

@testable import Server

/// Chats written by the templates that models come with.
@Suite struct ChatFormatTests {
    /// As Qwen 3 begins a text for its answer, with a BOS, a refusal and a setting.
    private let template = """
        {{- bos_token }}
        {%- for message in messages %}
            {%- if message.role == 'system' and not loop.first %}{{ raise_exception('the system speaks first') }}{% endif %}
            {{- '<|im_start|>' + message['role'] + '\\n' + message.content | trim + '<|im_end|>' + '\\n' }}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|im_start|>assistant\\n' }}
            {%- if enable_thinking is defined and enable_thinking is false %}{{ '<think></think>' }}{% endif %}
        {%- endif %}
        """

    private func model(_ template: String) throws -> ServedModel {
        ServedModel(
            id: "m", tokenizer: ByteTokenizer(), bosID: 256, eosIDs: [257],
            chatFormat: try ChatFormat(for: ByteTokenizer(), template: template, specialTokens: ["bos_token": "<s>"]),
            attention: "MHA")
    }

    private func prompt(_ body: String, template: String? = nil) throws -> String {
        let fields = try RequestFields(Array(body.utf8))
        let models = [try model(template ?? self.template)]
        let chat = try ChatRequest(fields, models: models, limits: ServerLimits(), capacity: { _ in 512 }, tenant: "")
        #expect(chat.sampling.options.stopStrings == (template == nil ? ["<|im_end|>"] : []))
        return String(decoding: ByteTokenizer().decode(chat.prompt), as: UTF8.self)
    }

    @Test func `a model's own template writes its chats, what a text begins with too`() throws {
        let messages = #""messages":[{"role":"system","content":" Be brief. "},{"role":"user","content":"Hi"}]"#
        let text = "<s><|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        #expect(try prompt("{\"model\":\"m\",\(messages)}") == text + "<|im_start|>assistant\n")
        #expect(try prompt("{\"model\":\"m\",\(messages),\"add_generation_prompt\":false}") == text)
        #expect(
            try prompt("{\"model\":\"m\",\(messages),\"chat_template_kwargs\":{\"enable_thinking\":false}}")
                == text + "<|im_start|>assistant\n<think></think>")
    }

    @Test func `a format writes a chat as one text for evaluations, with the stop strings of its turns`() throws {
        let turns = ["user", "assistant", "user"].map { ChatTemplate.Message(role: $0, content: " Hi ") }
        #expect(
            try ChatFormat.named(.chatml).text(turns)
                == "<|im_start|>user\n Hi <|im_end|>\n<|im_start|>assistant\n Hi <|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n<|im_start|>assistant\n"
        )
        let own = try ChatFormat(
            for: ByteTokenizer(), template: "{{ bos_token }}<|im_start|>{{ messages[-1].content }}",
            specialTokens: ["bos_token": "<s>"])
        #expect(try own.text(turns) == "<s><|im_start|> Hi " && own.stops == ["<|im_end|>"] && !own.isPlain)
        #expect(ChatFormat.named(.plain).isPlain && ChatFormat.named(.gemma).stops == ["<end_of_turn>"])
        // The end of a text stands between Llama 2's turns, which is a token and no text.
        let error = #expect(throws: APIError.self) { try ChatFormat.named(.llama2).text(turns) }
        #expect(error?.message == "'messages' are several texts in the format llama2")
    }

    @Test func `text in parts is joined by line ends`() throws {
        let body =
            #"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}"#
        #expect(try prompt(body, template: "{{ messages[0].content }}") == "a\nb")
    }

    @Test func `what a template refuses, or fails on, is the request's error`() throws {
        let late = #"{"model":"m","messages":[{"role":"user","content":"a"},{"role":"system","content":"b"}]}"#
        let error = #expect(throws: APIError.self) { try prompt(late) }
        #expect(error?.status == .badRequest)
        #expect(error?.message == "'messages' is refused by the model's chat template: the system speaks first")
        let fault = #expect(throws: APIError.self) { try prompt(late, template: "{{ messages.nothing.more }}") }
        #expect(fault?.status == .badRequest && fault?.message.contains("line 1: ") == true, "\(fault?.message ?? "")")
        let endless = "{% for a in range(90000) %}{% for b in range(90000) %}{{ messages }}{% endfor %}{% endfor %}"
        #expect(throws: APIError.self) { try prompt(late, template: endless) }
    }

    @Test func `settings for a template are refused where the model has none`() throws {
        let models = [
            ServedModel(
                id: "m", tokenizer: ByteTokenizer(), bosID: nil, eosIDs: [], chatFormat: .named(.plain), attention: "MHA")
        ]
        for field in [#""add_generation_prompt":false"#, #""chat_template_kwargs":{"a":1}"#, #""chat_template_kwargs":3"#] {
            let messages = #""messages":[{"role":"user","content":"a"}]"#
            let fields = try RequestFields(Array("{\"model\":\"m\",\(messages),\(field)}".utf8))
            #expect(throws: APIError.self, "\(field)") {
                try ChatRequest(fields, models: models, limits: ServerLimits(), capacity: { _ in 512 }, tenant: "")
            }
        }
    }
}
