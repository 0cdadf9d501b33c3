extension GenerationRequest {
    /// Throws the first reason why a model of `vocabulary`, with sequences of at most `capacity` tokens, cannot serve the
    /// request.
    public func validate(vocabulary: Int, capacity: Int) throws(InferenceError) {
        guard !prompt.isEmpty else { throw .emptyPrompt }
        if let odd = prompt.first(where: { $0 < 0 || Int($0) >= vocabulary }) { throw .token(odd, vocabulary: vocabulary) }
        // The last token sampled is never stored.
        guard prompt.count <= capacity else { throw .promptTooLong(tokens: prompt.count, limit: capacity) }
        try check("n", count, (1...128).contains(count), "1 to 128")
        try sampling.validate(vocabulary: vocabulary)
        try beams?.validate(count: count, sampling)
    }
}

extension BeamOptions {
    /// Throws the first option that a beam search for `count` outputs does not support.
    func validate(count: Int, _ sampling: SamplingOptions) throws(InferenceError) {
        try check("best_of", width, width >= count && width <= 128, "\(count) to 128 beams")
        try check("length_penalty", lengthPenalty, abs(lengthPenalty) <= 100, "-100 to 100")
        try check("stop", "strings", sampling.stopStrings.isEmpty, "stop_token_ids with beam search")
        try check("min_tokens", sampling.minTokens, sampling.minTokens == 0, "0 with beam search")
        let isUnedited =
            sampling.logitBias.isEmpty && sampling.presencePenalty == 0 && sampling.frequencyPenalty == 0
            && sampling.repetitionPenalty == 1
        try check("use_beam_search", true, isUnedited, "no penalties and no logit_bias")
    }
}

extension SamplingOptions {
    /// Throws the first option that is outside its range.
    public func validate(vocabulary: Int) throws(InferenceError) {
        try check("max_tokens", maxTokens, maxTokens >= 0, "0 or more")
        try check("min_tokens", minTokens, minTokens >= 0, "0 or more")
        let numbers: [(option: String, value: Double, range: ClosedRange<Double>)] = [
            ("temperature", temperature, 0...100), ("top_p", topP, 0...1), ("min_p", minP, 0...1),
            ("presence_penalty", presencePenalty, -100...100), ("frequency_penalty", frequencyPenalty, -100...100),
            ("repetition_penalty", repetitionPenalty, 0.01...100),
        ]
        for (option, value, range) in numbers {
            try check(option, value, range.contains(value), "\(range.lowerBound) to \(range.upperBound)")
        }
        if let topK { try check("top_k", topK, topK >= 1, "1 or more") }
        if let logprobs { try check("logprobs", logprobs, (0...vocabulary).contains(logprobs), "0 to \(vocabulary)") }
        if let (id, bias) = logitBias.first(where: { !$0.value.isFinite || $0.key < 0 || Int($0.key) >= vocabulary }) {
            throw .sampling(option: "logit_bias", value: "\(id): \(bias)", expected: "finite numbers for tokens of the model")
        }
        try check("stop", "\"\"", !stopStrings.contains(""), "strings that are not empty")
    }
}

/// Throws ``InferenceError/sampling(option:value:expected:)`` unless a value of an option is allowed.
private func check(
    _ option: String, _ value: some CustomStringConvertible, _ isAllowed: Bool, _ expected: String
) throws(InferenceError) {
    guard isAllowed else { throw .sampling(option: option, value: "\(value)", expected: expected) }
}
