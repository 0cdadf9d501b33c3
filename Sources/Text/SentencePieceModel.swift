/// SentencePiece's `tokenizer.model`: a protocol buffer with pieces, training settings and normalization.
///
/// Only BPE models without normalization are supported (Llama's and Mistral's): character maps, stripped white space,
/// user-defined and unused pieces are rejected by name. Source: google/sentencepiece, `sentencepiece_model.proto`.
enum SentencePieceModel {
    private struct Settings {
        var vocabulary = GGUFVocabulary(model: "llama", tokens: [], types: [])
        /// 1 is unigram, the default of a file; 2 is BPE.
        var modelType: UInt64 = 1
        var unknown: Int32 = 0
        var bos: Int32 = 1
        var eos: Int32 = 2
        /// An unsupported feature that the file needs.
        var unsupported: String?
    }

    /// Whether `bytes` begin like a model: with an entry that holds a piece of bytes.
    static func isOne(_ bytes: [UInt8]) -> Bool {
        bytes.count > 4 && bytes[0] == 0x0a && bytes[1] > 2 && bytes[2] == 0x0a && bytes[3] > 0 && bytes[3] <= bytes[1] - 2
    }

    /// The same tokenizer as a `tokenizer.json`; `file` names the model in errors.
    static func serialized(_ bytes: [UInt8], file: String) throws(TextError) -> SerializedTokenizer {
        var settings = Settings()
        // Normalizers strip white space unless the file says otherwise.
        var normalizer = Normalizing()
        var fields = ProtobufFields(bytes[...], file: file)
        while let field = try fields.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let entry)): try readPiece(entry, file: file, &settings)
            case (2, .bytes(let entry)): try readTraining(entry, file: file, &settings)
            case (3, .bytes(let entry)): try normalizer.read(entry, file: file)
            case (5, .bytes(let entry)):
                var denormalizer = Normalizing()
                try denormalizer.read(entry, file: file)
                if denormalizer.hasMap { settings.unsupported = settings.unsupported ?? "a denormalizer" }
            default: break
            }
        }
        if settings.modelType != 2 {
            let names: [UInt64: String] = [1: "unigram", 3: "word", 4: "char"]
            settings.unsupported = "model_type \(names[settings.modelType] ?? "\(settings.modelType)")"
        }
        if let unsupported = settings.unsupported ?? normalizer.unsupported {
            throw .unsupportedTokenizer(
                file: file, feature: unsupported, reason: "BPE that leaves text as it is is read; take the model's tokenizer.json"
            )
        }
        var vocabulary = settings.vocabulary
        func id(_ value: Int32) -> Int32? { vocabulary.tokens.indices.contains(Int(value)) ? value : nil }
        (vocabulary.unknown, vocabulary.bos, vocabulary.eos) = (id(settings.unknown), id(settings.bos), id(settings.eos))
        vocabulary.addsBOS = vocabulary.bos != nil
        vocabulary.addsSpacePrefix = normalizer.addsPrefix
        return try vocabulary.serialized(file: file)
    }

    private static func readPiece(_ entry: ArraySlice<UInt8>, file: String, _ settings: inout Settings) throws(TextError) {
        var (piece, score, type) = (ArraySlice<UInt8>(), Float(0), GGUFVocabulary.TokenType.normal)
        var fields = ProtobufFields(entry, file: file)
        let id = settings.vocabulary.tokens.count
        while let field = try fields.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let bytes)): piece = bytes
            case (2, .fixed32(let bits)): score = Float(bitPattern: bits)
            case (3, .varint(let number)):
                guard let known = Int32(exactly: number).flatMap(GGUFVocabulary.TokenType.init(rawValue:)) else {
                    throw .malformedTokenizer(file: file, reason: "piece \(id) has the unknown type \(number)")
                }
                type = known
            default: break
            }
        }
        if type == .userDefined || type == .unused {
            settings.unsupported = settings.unsupported ?? (type == .unused ? "an unused piece" : "a user-defined piece")
        }
        settings.vocabulary.tokens.append(Array(piece))
        settings.vocabulary.scores.append(score)
        settings.vocabulary.types.append(type)
    }

    private static func readTraining(_ entry: ArraySlice<UInt8>, file: String, _ settings: inout Settings) throws(TextError) {
        var fields = ProtobufFields(entry, file: file)
        while let field = try fields.next() {
            guard case .varint(let value) = field.value else { continue }
            let id = Int32(truncatingIfNeeded: value)
            switch field.number {
            case 3: settings.modelType = value
            case 24 where value != 0: settings.unsupported = settings.unsupported ?? "treat_whitespace_as_suffix"
            case 40: settings.unknown = id
            case 41: settings.bos = id
            case 42: settings.eos = id
            default: break
            }
        }
    }

    /// The normalization of text before it is cut into pieces.
    private struct Normalizing {
        var hasMap = false
        var addsPrefix = true
        var removesExtraSpaces = true
        var escapesSpaces = true

        var unsupported: String? {
            if hasMap { return "a normalizer's character map" }
            if removesExtraSpaces { return "remove_extra_whitespaces" }
            return escapesSpaces ? nil : "escape_whitespaces off"
        }

        mutating func read(_ entry: ArraySlice<UInt8>, file: String) throws(TextError) {
            var fields = ProtobufFields(entry, file: file)
            while let field = try fields.next() {
                switch (field.number, field.value) {
                case (2, .bytes(let map)): hasMap = !map.isEmpty
                case (3, .varint(let value)): addsPrefix = value != 0
                case (4, .varint(let value)): removesExtraSpaces = value != 0
                case (5, .varint(let value)): escapesSpaces = value != 0
                default: break
                }
            }
        }
    }
}
