extension ServedModel {
    /// The tokens of a chat that the assistant's next message follows, as the model's format has it.
    ///
    /// Throws where the model's own template refuses the messages, or fails on them.
    public func chatPrompt(_ messages: [ChatTemplate.Message]) throws -> [Int32] { encode(turns: try chatFormat.turns(messages)) }

    /// The tokens of a chat's `prompt` before its first user's message; nil where no other message comes before it, or the format, as
    /// `turns` writes it, hides the place.
    ///
    /// They depend on what precedes that message alone, but for a token that spans the seam.
    func prefixTokens(
        of prompt: [Int32], _ messages: [ChatTemplate.Message],
        turns: ([ChatTemplate.Message]) throws(APIError) -> [String]
    ) throws(APIError) -> Int? {
        guard let first = messages.firstIndex(where: { $0.role == "user" }), first > 0 else { return nil }
        let mark = "\u{F8FF}kvlab\u{F8FF}"
        var marked = messages
        marked[first].content = mark
        var before = try turns(marked)
        guard let turn = before.firstIndex(where: { $0.contains(mark) }), let place = before[turn].range(of: mark) else {
            return nil
        }
        before[turn].removeSubrange(place.lowerBound...)
        let shared = zip(encode(turns: Array(before[...turn])), prompt).prefix { $0 == $1 }.count
        return shared > 0 ? shared : nil
    }

    /// The tokens of a chat's turns; the end of one and the beginning of the next are tokens, whatever their text.
    func encode(turns: [String]) -> [Int32] {
        // A template of the model's own writes the token that a text begins with itself.
        if case .own = chatFormat { return encode(turns.joined(), special: false) }
        var ids = turns.first.map { encode($0) } ?? []
        for turn in turns.dropFirst() { ids += eosIDs.prefix(1) + encode(turn) }
        return ids
    }
}
