/// Passkey retrieval (Mohtashami & Jaggi 2023): the first run of digits must be the key.
enum Passkey {
    static let tasks = [
        ScoringTask(
            name: "passkey", isDataset: false, referenceKey: "key", hasOneReference: true, aggregate: .percentOfShare(digits: nil)
        ) {
            (one, _) throws(Fault) in
            guard let key = AnswerExtraction.integer(one.references[0]) else {
                throw Fault(reason: "the key '\(one.references[0].string.prefix(40))' is no whole number from 0")
            }
            return ScoringTask.Score(value: AnswerExtraction.firstInteger(one.prediction) == key ? 1 : 0)
        }
    ]
}
