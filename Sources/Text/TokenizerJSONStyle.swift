import JSON

// MARK: Text to symbols

extension TokenizerJSON {
    /// The style given by the pre-tokenizers and the decoder.
    func readStyle(_ root: JSONValue) throws(TextError) -> Style {
        var stages: [SplitterStage] = []
        var metaspace: Metaspace?
        var isByteLevel = false
        for step in Self.flattened(root["pre_tokenizer"], "pretokenizers") {
            let type = step["type"]?.string ?? "without a type"
            if isByteLevel { throw unsupported("pre_tokenizer \(type) after ByteLevel", "it would cut the bytes' names") }
            if metaspace != nil { throw unsupported("pre_tokenizer \(type) after Metaspace", "Metaspace alone is implemented") }
            switch type {
            case "ByteLevel":
                isByteLevel = true
                let usesRegex = step["use_regex"]?.bool ?? true
                stages.append(
                    SplitterStage(
                        splitter: usesRegex ? .gpt2 : .whole, addsPrefixSpace: step["add_prefix_space"]?.bool ?? true))
            case "Digits": stages.append(SplitterStage(splitter: .digits(areSingle: step["individual_digits"]?.bool ?? false)))
            case "Split": if let splitter = try readSplit(step) { stages.append(SplitterStage(splitter: splitter)) }
            case "Metaspace": metaspace = try readMetaspace(step)
            default: throw unsupported("pre_tokenizer \(type)", "ByteLevel, Split, Digits and Metaspace are implemented")
            }
        }
        guard isByteLevel else {
            guard stages.isEmpty else {
                throw unsupported("pre_tokenizer Split or Digits without ByteLevel", "only Metaspace or none is implemented")
            }
            return .sentencePiece(metaspace, try readDecoder(root["decoder"]))
        }
        let decoders = Self.flattened(root["decoder"], "decoders").map { $0["type"]?.string ?? "without a type" }
        guard decoders == ["ByteLevel"] else {
            throw unsupported("decoder \(decoders.first ?? "null")", "a ByteLevel pre_tokenizer needs ByteLevel")
        }
        if hasByteFallback { throw unsupported("model.byte_fallback with ByteLevel", "all bytes are in its alphabet already") }
        // A last stage without a cut changes nothing after one that cuts.
        if stages.count > 1, stages.last == SplitterStage(splitter: .whole) { stages.removeLast() }
        return .byteLevel(stages)
    }

    /// The steps of a `Sequence`, or the single step itself.
    private static func flattened(_ value: JSONValue?, _ key: String) -> [JSONValue] {
        guard let value else { return [] }
        guard value["type"]?.string == "Sequence" else { return [value] }
        return (value[key]?.array ?? []).flatMap { flattened($0, key) }
    }

    /// The splitter of a `Split` step; nil for one that cuts nothing.
    private func readSplit(_ step: JSONValue) throws(TextError) -> Splitter? {
        if let text = step["pattern"]?["String"]?.bytes {
            // Gemma's: its normalizer replaces spaces first.
            if text == [0x20], normalizers.contains(where: { if case .replace([0x20], _) = $0 { true } else { false } }) {
                return nil
            }
            throw unsupported("pre_tokenizer Split at '\(Self.show(text))'", "only the patterns of GPT-2, Llama 3 and Qwen are")
        }
        guard let pattern = step["pattern"]?["Regex"]?.string else {
            throw unsupported("pre_tokenizer Split", "it has no pattern")
        }
        guard let splitter = Splitter.named(byPattern: pattern) else {
            throw unsupported(
                "pre_tokenizer Split at '\(pattern)'", "only the patterns of GPT-2, Llama 3 and Qwen are implemented")
        }
        let behavior = step["behavior"]?.string ?? ""
        guard behavior == "Isolated" && step["invert"]?.bool != true || behavior == "Removed" && step["invert"]?.bool == true
        else {
            throw unsupported("pre_tokenizer Split, \(behavior)", "Isolated, or Removed with invert, is implemented")
        }
        return splitter
    }

    private func readMetaspace(_ step: JSONValue) throws(TextError) -> Metaspace {
        guard let mark = (step["replacement"] ?? step["str_rep"])?.bytes, !mark.isEmpty else {
            throw malformed("the pre_tokenizer Metaspace lacks its replacement")
        }
        let legacy = step["add_prefix_space"]?.bool ?? true
        let name = step["prepend_scheme"]?.string ?? (legacy ? "always" : "never")
        guard let prepend = Metaspace.Prepend(rawValue: name) else {
            throw unsupported("Metaspace.prepend_scheme '\(name)'", "always, first and never are implemented")
        }
        return Metaspace(mark: mark, prepend: prepend, splits: step["split"]?.bool ?? true)
    }

    /// The normalizers, sequences flattened.
    func readNormalizers(_ value: JSONValue?) throws(TextError) -> [Normalizer] {
        var all: [Normalizer] = []
        for step in Self.flattened(value, "normalizers") { all.append(try readNormalizer(step)) }
        return all
    }

    private func readNormalizer(_ step: JSONValue) throws(TextError) -> Normalizer {
        let type = step["type"]?.string ?? "without a type"
        if let form = UnicodeForm(rawValue: type) { return .unicode(form) }
        switch type {
        case "Lowercase": return .lowercase
        case "StripAccents": return .stripAccents
        case "Strip":
            return .strip(left: step["strip_left"]?.bool ?? true, right: step["strip_right"]?.bool ?? true)
        case "Prepend":
            guard let text = step["prepend"]?.bytes else { throw malformed("the normalizer Prepend lacks 'prepend'") }
            return .prepend(text)
        case "Replace":
            if step["pattern"]?["Regex"]?.string == " {2,}", let content = step["content"]?.bytes {
                return .collapseSpaces(content)
            }
            let (pattern, content) = try readReplace(step, of: "normalizer")
            return .replace(pattern, with: content)
        default:
            throw unsupported(
                "normalizer \(type)",
                "NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend and Replace are implemented")
        }
    }

    private func readReplace(_ value: JSONValue, of owner: String) throws(TextError) -> ([UInt8], [UInt8]) {
        if value["pattern"]?["Regex"] != nil {
            throw unsupported("\(owner) Replace with a Regex", "only a String pattern is implemented")
        }
        guard let pattern = value["pattern"]?["String"]?.bytes, !pattern.isEmpty, let content = value["content"]?.bytes else {
            throw malformed("the \(owner) Replace lacks a pattern or a content")
        }
        return (pattern, content)
    }

    private func readDecoder(_ value: JSONValue?) throws(TextError) -> PieceDecoder {
        guard let value else { throw unsupported("decoder null", "without one tokens would be joined by spaces") }
        var decoder = PieceDecoder()
        var isFused = false
        for step in Self.flattened(value, "decoders") {
            let type = step["type"]?.string ?? "without a type"
            switch type {
            case "Replace" where !isFused && !decoder.hasByteFallback:
                let (pattern, content) = try readReplace(step, of: "decoder")
                decoder.replacements.append(.replace(pattern, with: content))
            case "ByteFallback" where !isFused: decoder.hasByteFallback = true
            case "Metaspace" where !isFused && decoder.mark == nil:
                let metaspace = try readMetaspace(step)
                decoder.mark = metaspace.mark
                decoder.dropsFirst = metaspace.prepend != .never
            case "Fuse": isFused = true
            case "Strip" where isFused && decoder.strip == nil:
                guard let content = step["content"]?.bytes, content.count == 1, content[0] < 0x80,
                    let start = step["start"]?.int, let stop = step["stop"]?.int, start >= 0, stop >= 0
                else { throw malformed("the decoder Strip lacks an ASCII content, a start or a stop") }
                decoder.strip = PieceDecoder.Strip(byte: content[0], start: start, stop: stop)
            default:
                throw unsupported(
                    "decoder \(type)", "Replace, ByteFallback, Metaspace, Fuse, Strip, in this order, are implemented")
            }
        }
        return decoder
    }
}
