extension ServedModel {
    /// The tokens of a chat that the assistant's next message follows, as the model's format has it.
    ///
    /// Throws where the model's own template refuses the messages, or fails on them.
    public func chatPrompt(_ messages: [ChatTemplate.Message]) throws -> [Int32] { encode(turns: try chatFormat.turns(messages)) }

    /// The tokens of a chat's turns; the end of one and the beginning of the next are tokens, whatever their text.
    func encode(turns: [String]) -> [Int32] {
        // A template of the model's own writes the token that a text begins with itself.
        if case .own = chatFormat { return encode(turns.joined(), special: false) }
        var ids = turns.first.map { encode($0) } ?? []
        for turn in turns.dropFirst() { ids += eosIDs.prefix(1) + encode(turn) }
        return ids
    }
}
