import Testing

@testable import Server

@Suite struct ChatTemplateTests {
    @Test func `each format writes a chat as its models were trained`() {
        let messages = [
            ChatTemplate.Message(role: "system", content: "Be brief."), .init(role: "user", content: "Hi"),
        ]
        #expect(ChatTemplate.plain.prompt(messages) == "System: Be brief.\nUser: Hi\nAssistant:")
        #expect(
            ChatTemplate.chatml.prompt(messages)
                == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
        #expect(
            ChatTemplate.llama3.prompt(messages)
                == "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
        )
        #expect(ChatTemplate.llama2.prompt(messages) == "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]")
        #expect(
            ChatTemplate.gemma.prompt(messages)
                == "<start_of_turn>user\nBe brief.<end_of_turn>\n<start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n")
    }
}
