import JSON

/// Parameters of other servers that this one does not support: refused rather than ignored, unless their value changes nothing.
enum UnsupportedFields {
    private static let table: [(name: String, asksNothing: @Sendable (JSONValue) -> Bool)] = [
        ("response_format", { $0["type"]?.string == "text" }),
        ("guided_json", { _ in false }), ("guided_regex", { _ in false }), ("guided_choice", { _ in false }),
        ("guided_grammar", { _ in false }), ("guided_decoding_backend", { _ in false }), ("structured_outputs", { _ in false }),
        ("chat_template", { _ in false }),
        ("prompt_logprobs", { _ in false }), ("truncate_prompt_tokens", { _ in false }),
        ("continue_final_message", { $0 == .bool(false) }),
        ("tools", { $0.array?.isEmpty == true }), ("functions", { $0.array?.isEmpty == true }),
        ("tool_choice", { $0.string == "none" || $0.string == "auto" }),
        ("function_call", { $0.string == "none" || $0.string == "auto" }),
        ("min_tokens", { $0.int == 0 }), ("suffix", { $0.string?.isEmpty == true }),
    ]

    /// Throws where a request has one of them.
    static func check(_ json: JSONValue) throws(APIError) {
        for (name, asksNothing) in table {
            guard let value = json[name], !asksNothing(value) else { continue }
            throw .parameter(name, "is not supported")
        }
    }
}
