import Random

extension Corpus {
    /// The unit of a train/validation split.
    public enum SplitBy: String, Codable, Sendable, CaseIterable {
        /// A byte position, moved back to a character's start: validation is the end of the text.
        case position
        /// Whole documents, sampled by the seed.
        case document
    }

    /// Splits the corpus into training and validation text, deterministically.
    ///
    /// By position, training has the first ⌊(1 − fraction) · bytes⌋ bytes; a document across the cut is divided, but a
    /// chat belongs to training whole. By document, validation has fraction · documents, rounded, but at least one.
    ///
    /// - Parameters:
    ///   - fraction: the share held out, from 0 to under 1; with 0 validation is empty.
    ///   - isPerSource: whether each source is split by itself, so that the held-out text has a part of each.
    /// - Throws: ``TextError/emptySplit(side:documents:bytes:fraction:)`` where a side would be empty.
    public func split(
        fraction: Double, by: SplitBy, seed: UInt64, isPerSource: Bool = false
    ) throws(TextError) -> (train: Corpus, validation: Corpus) {
        if isPerSource {
            var (train, validation): ([Document], [Document]) = ([], [])
            for source in contents.indices {
                let parts = try only(source).split(fraction: fraction, by: by, seed: seed)
                train += parts.train.documents
                validation += parts.validation.documents
            }
            return (with(train), with(validation))
        }
        guard fraction >= 0, fraction < 1 else { throw .invalidFraction(fraction) }
        if fraction == 0 { return (self, with([])) }
        let (train, validation) =
            switch by {
            case .document: splitByDocument(fraction, seed)
            case .position: splitByPosition(fraction)
            }
        for (side, documents) in [("training", train), ("validation", validation)] where documents.isEmpty {
            throw .emptySplit(side: side, documents: self.documents.count, bytes: byteCount, fraction: fraction)
        }
        return (with(train), with(validation))
    }

    private func splitByDocument(_ fraction: Double, _ seed: UInt64) -> ([Document], [Document]) {
        var generator = SeededGenerator(seed: seed, name: "split")
        let order = documents.indices.shuffled(using: &generator)
        let heldOut = Set(order.prefix(max(1, Int((fraction * Double(documents.count)).rounded()))))
        return (
            documents.indices.filter { !heldOut.contains($0) }.map { documents[$0] },
            documents.indices.filter { heldOut.contains($0) }.map { documents[$0] }
        )
    }

    private func splitByPosition(_ fraction: Double) -> ([Document], [Document]) {
        var remaining = Int((1 - fraction) * Double(byteCount))
        var (train, validation): ([Document], [Document]) = ([], [])
        for document in documents {
            // A chat is not cut, as its end would have lost its question.
            if document.turns != nil {
                if remaining > 0 { train.append(document) } else { validation.append(document) }
                remaining = max(0, remaining - document.bytes.count)
                continue
            }
            let cut = withUTF8(document) { UTF8Check.boundary(in: $0, atOrBefore: remaining) } + document.bytes.lowerBound
            let (head, tail) = (document.bytes.lowerBound..<cut, cut..<document.bytes.upperBound)
            if !head.isEmpty { train.append(Document(file: document.file, bytes: head)) }
            if !tail.isEmpty { validation.append(Document(file: document.file, bytes: tail)) }
            remaining = max(0, remaining - document.bytes.count)
        }
        return (train, validation)
    }
}
