import JSON

// MARK: From GGUF

extension GGUFVocabulary {
    /// The longest token in bytes: no vocabulary has longer ones, and every split of a token in two is tried.
    static let tokenLimit = 4096

    /// The tokenizer as a `tokenizer.json`.
    ///
    /// SentencePiece-style scores become merges as in `transformers`' converter: every split of a token into two others, the
    /// highest score first. Throws ``TextError`` where the vocabulary is inconsistent or needs an unsupported feature.
    public func serialized(file: String) throws(TextError) -> SerializedTokenizer {
        guard types.count == tokens.count else {
            throw .malformedTokenizer(file: file, reason: "\(tokens.count) tokens have \(types.count) types")
        }
        var ids: [[UInt8]: Int32] = [:]
        for (id, token) in tokens.enumerated() where types[id] != .unused {
            guard UTF8Check.firstInvalid(in: token.span) == nil, (1...Self.tokenLimit).contains(token.count) else {
                throw .malformedTokenizer(file: file, reason: "token \(id) is not UTF-8 text of 1 to \(Self.tokenLimit) bytes")
            }
            guard ids.updateValue(Int32(id), forKey: token) == nil else {
                throw .malformedTokenizer(file: file, reason: "token \(id), '\(TokenizerJSON.show(token))', is there twice")
            }
        }
        let members: [(String, JSONValue)]
        switch model {
        case "gpt2": members = try byteLevel(ids, file: file)
        case "llama": members = try sentencePiece(ids, file: file)
        default:
            throw .unsupportedTokenizer(
                file: file, feature: "tokenizer.ggml.model '\(model)'", reason: "gpt2 and llama are implemented")
        }
        let start: [(String, JSONValue)] = [
            ("version", .text("1.0")), ("truncation", .null), ("padding", .null), ("added_tokens", .array(addedTokens)),
        ]
        let json: JSONValue = .object(of: start + members + [("post_processor", template)])
        return SerializedTokenizer(kind: "tokenizer.json", bytes: json.compact)
    }

    private func isAdded(_ id: Int) -> Bool { [.unknown, .control, .userDefined].contains(types[id]) }

    private var addedTokens: [JSONValue] {
        tokens.indices.filter(isAdded).map { id in
            JSONValue.object(of: [
                ("id", .number("\(id)")), ("content", .string(tokens[id])), ("single_word", .bool(false)),
                ("lstrip", .bool(false)),
                ("rstrip", .bool(false)), ("normalized", .bool(false)), ("special", .bool(types[id] != .userDefined)),
            ])
        }
    }

    /// A template with BOS before a text, where the vocabulary says so.
    private var template: JSONValue {
        guard addsBOS, let bos, tokens.indices.contains(Int(bos)) else { return .null }
        let name = JSONValue.string(tokens[Int(bos)])
        func special(_ type: String) -> JSONValue {
            JSONValue.object(of: [("SpecialToken", JSONValue.object(of: [("id", name), ("type_id", .number(type))]))])
        }
        func sequence(_ id: String, _ type: String) -> JSONValue {
            JSONValue.object(of: [("Sequence", JSONValue.object(of: [("id", .text(id)), ("type_id", .number(type))]))])
        }
        let entry = JSONValue.object(of: [("id", name), ("ids", .array([.number("\(bos)")])), ("tokens", .array([name]))])
        return JSONValue.object(of: [
            ("type", .text("TemplateProcessing")), ("single", .array([special("0"), sequence("A", "0")])),
            ("pair", .array([special("0"), sequence("A", "0"), special("1"), sequence("B", "1")])),
            ("special_tokens", .object([JSONValue.Member(key: tokens[Int(bos)], value: entry)])),
        ])
    }

    private func model(_ merges: [JSONValue], byteFallback: Bool, ignoresMerges: Bool, unknown: Int32?) -> JSONValue {
        let vocabulary = tokens.indices.filter { types[$0] != .unused && (byteFallback || !isAdded($0)) }.map {
            JSONValue.Member(key: tokens[$0], value: .number("\($0)"))
        }
        func token(_ id: Int32?) -> JSONValue {
            guard let id, tokens.indices.contains(Int(id)), types[Int(id)] != .unused else { return .null }
            return .string(tokens[Int(id)])
        }
        return JSONValue.object(of: [
            ("type", .text("BPE")), ("dropout", .null), ("unk_token", token(unknown)), ("continuing_subword_prefix", .null),
            ("end_of_word_suffix", .null), ("fuse_unk", .bool(byteFallback)), ("byte_fallback", .bool(byteFallback)),
            ("ignore_merges", .bool(ignoresMerges)), ("eos_token", token(eos)), ("vocab", .object(vocabulary)),
            ("merges", .array(merges)),
        ])
    }

    private func byteLevel(_ ids: [[UInt8]: Int32], file: String) throws(TextError) -> [(String, JSONValue)] {
        guard let pre = Self.preTokenizers.first(where: { $0.name == self.pre }) else {
            throw .unsupportedTokenizer(
                file: file, feature: "tokenizer.ggml.pre '\(self.pre ?? "absent")'",
                reason: "implemented are \(Self.preTokenizers.map(\.name).joined(separator: ", "))")
        }
        var pairs: [JSONValue] = []
        pairs.reserveCapacity(merges.count)
        for (index, merge) in merges.enumerated() {
            let parts = merge.split(separator: 0x20, omittingEmptySubsequences: false).map { Array($0) }
            guard parts.count == 2, UTF8Check.firstInvalid(in: merge.span) == nil else {
                throw .malformedTokenizer(file: file, reason: "merge \(index) is not two words")
            }
            pairs.append(.array(parts.map { .string($0) }))
        }
        var steps: [JSONValue] = []
        for splitter in pre.splitters {
            if let pattern = splitter.pattern, splitter != .gpt2 {
                steps.append(
                    JSONValue.object(of: [
                        ("type", .text("Split")), ("pattern", JSONValue.object(of: [("Regex", .text(pattern))])),
                        ("behavior", .text("Isolated")), ("invert", .bool(false)),
                    ]))
            } else if case .digits(let areSingle) = splitter {
                steps.append(JSONValue.object(of: [("type", .text("Digits")), ("individual_digits", .bool(areSingle))]))
            }
        }
        func byteLevel(_ usesRegex: Bool) -> JSONValue {
            JSONValue.object(of: [
                ("type", .text("ByteLevel")), ("add_prefix_space", .bool(false)), ("trim_offsets", .bool(true)),
                ("use_regex", .bool(usesRegex)),
            ])
        }
        steps.append(byteLevel(pre.splitters.last == .gpt2))
        let sequence = JSONValue.object(of: [("type", .text("Sequence")), ("pretokenizers", .array(steps))])
        return [
            ("normalizer", .null), ("pre_tokenizer", steps.count == 1 ? steps[0] : sequence), ("decoder", byteLevel(true)),
            ("model", model(pairs, byteFallback: false, ignoresMerges: pre.ignoresMerges, unknown: nil)),
        ]
    }

    private func sentencePiece(_ ids: [[UInt8]: Int32], file: String) throws(TextError) -> [(String, JSONValue)] {
        guard scores.count == tokens.count else {
            throw .malformedTokenizer(file: file, reason: "\(tokens.count) tokens have \(scores.count) scores")
        }
        guard scores.allSatisfy({ !$0.isNaN }) else { throw .malformedTokenizer(file: file, reason: "a score is not a number") }
        var pairs: [JSONValue] = []
        var earlier: Float?
        for id in tokens.indices.filter({ types[$0] == .normal }).sorted(by: { (scores[$0], $1) > (scores[$1], $0) }) {
            let cuts = Self.cuts(of: tokens[id], ids)
            if cuts.isEmpty { continue }
            // Of equal scores the leftmost pair merges first, which an order of merges cannot express.
            guard earlier != scores[id] else {
                throw .unsupportedTokenizer(
                    file: file, feature: "a score shared by tokens that merge (\(scores[id]))",
                    reason: "their order would be open")
            }
            earlier = scores[id]
            pairs += cuts.map { .array([.string($0.left), .string($0.right)]) }
        }
        func replace(_ from: String, _ to: String) -> JSONValue {
            JSONValue.object(of: [
                ("type", .text("Replace")), ("pattern", JSONValue.object(of: [("String", .text(from))])), ("content", .text(to)),
            ])
        }
        let prepend = JSONValue.object(of: [("type", .text("Prepend")), ("prepend", .text("▁"))])
        let strip = JSONValue.object(of: [
            ("type", .text("Strip")), ("content", .text(" ")), ("start", .number("1")), ("stop", .number("0")),
        ])
        let normalizers = (addsSpacePrefix ? [prepend] : []) + [replace(" ", "▁")]
        let decoders =
            [replace("▁", " ")] + ["ByteFallback", "Fuse"].map { JSONValue.object(of: [("type", .text($0))]) }
            + (addsSpacePrefix ? [strip] : [])
        return [
            ("normalizer", JSONValue.object(of: [("type", .text("Sequence")), ("normalizers", .array(normalizers))])),
            ("pre_tokenizer", .null),
            ("decoder", JSONValue.object(of: [("type", .text("Sequence")), ("decoders", .array(decoders))])),
            ("model", model(pairs, byteFallback: true, ignoresMerges: false, unknown: unknown)),
        ]
    }

    /// The splits of a token into two others, in the order of the left one's id.
    static func cuts(of token: [UInt8], _ ids: [[UInt8]: Int32]) -> [(left: [UInt8], right: [UInt8])] {
        guard token.count > 1 else { return [] }
        var found: [(Int32, Int32, Int)] = []
        for cut in 1..<token.count where token[cut] & 0xc0 != 0x80 {
            if let left = ids[Array(token[..<cut])], let right = ids[Array(token[cut...])] { found.append((left, right, cut)) }
        }
        return found.sorted { ($0.0, $0.1) < ($1.0, $1.1) }.map { (Array(token[..<$0.2]), Array(token[$0.2...])) }
    }
}
