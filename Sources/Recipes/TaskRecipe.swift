import Evaluation
import JSON

extension EvaluationSpec: Encodable {
    /// As a recipe has it: an object with the evaluation's name as its key, and the settings given under that.
    public func encode(to encoder: any Encoder) throws {
        try [name: Dictionary(uniqueKeysWithValues: settings.map { ($0.key, $0.value) })].encode(to: encoder)
    }
}

extension RecipeSection {
    /// The evaluations by their names.
    static let tasks = RecipeSection("lab.evaluation.tasks[]", EvaluationKinds.all.map { RecipeKey(evaluation: $0) })
}

extension RecipeKey {
    /// The evaluation's settings under its name; a path that describes it may stand there alone.
    init(evaluation kind: any EvaluationKind.Type) {
        let section = RecipeSection("lab.evaluation.tasks[].\(kind.name)", kind.settings.map { RecipeKey(evaluationSetting: $0) })
        self.init(
            name: kind.name, type: kind.settings.contains(where: \.standsAlone) ? .pathOrObject(section) : .object(section),
            absence: .optional, meaning: kind.summary, example: section.example)
    }

    /// A setting of an evaluation, as a recipe's key.
    private init(evaluationSetting setting: EvaluationSetting) {
        let type: RecipeType =
            switch setting.kind {
            case .integer(let range): .integer(range)
            case .flag: .boolean
            case .text: .text
            case .choice(let names): .choice(names)
            case .file, .folder: .path
            case .files: .list(.path)
            case .integers(let range): .list(.integer(range))
            case .splits, .texts: .list(.text)
            }
        self.init(
            name: setting.key, type: type,
            absence: setting.isRequired ? .required : setting.fallback.map { .fixed($0.literal.json) } ?? .optional,
            meaning: setting.help,
            example: setting.example.literal.json)
    }
}

extension EvaluationSetting.Value: Encodable {
    /// The number, flag, text or array of them.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(literal)
    }

    fileprivate var literal: any RecipeLiteral & Encodable {
        switch self {
        case .integer(let value): value
        case .flag(let value): value
        case .text(let value): value
        case .integers(let values): values
        case .texts(let values): values
        }
    }
}

extension ObjectReader {
    /// The evaluation that this object describes, its name the only key.
    func task() throws(RecipeError) -> EvaluationSpec {
        var found: [EvaluationSpec] = []
        for kind in EvaluationKinds.all {
            if let setting = kind.settings.first(where: \.standsAlone) {
                guard let (path, object) = try pathOrObject(kind.name) else { continue }
                if let path {
                    found.append(try spec(kind, [setting.key: .text(path)], object))
                } else {
                    found.append(try object.task(kind))
                }
            } else if let object = try object(kind.name) {
                found.append(try object.task(kind))
            }
        }
        try finish()
        guard found.count == 1 else {
            let names = EvaluationKinds.all.map { $0.name }.joined(separator: ", ")
            throw impossible(
                found.isEmpty
                    ? "names no evaluation; the key is one of \(names)"
                    : "names \(found.map(\.name).joined(separator: " and ")); give each an object of its own")
        }
        return found[0]
    }

    /// The evaluation of `kind` whose settings this object has.
    private func task(_ kind: any EvaluationKind.Type) throws(RecipeError) -> EvaluationSpec {
        var given: [String: EvaluationSetting.Value] = [:]
        for setting in kind.settings {
            let key = setting.key
            switch setting.kind {
            case .integer: given[key] = try int(key).map { .integer($0) }
            case .flag: given[key] = try bool(key).map { .flag($0) }
            case .text, .choice, .file, .folder: given[key] = try string(key).map { .text($0) }
            case .files, .splits, .texts: given[key] = try strings(key).map { .texts($0) }
            case .integers: given[key] = try integers(key).map { .integers($0) }
            }
        }
        try finish()
        return try spec(kind, given, self)
    }

    /// The evaluation with these settings, which `object` has.
    private func spec(
        _ kind: any EvaluationKind.Type, _ given: [String: EvaluationSetting.Value], _ object: ObjectReader
    ) throws(RecipeError) -> EvaluationSpec {
        do { return try EvaluationSpec(kind.name, given) } catch {
            guard let key = error.key else { throw object.impossible(error.reason) }
            guard given[key] != nil else { throw .missing(object.position, path: object.keyPath(key)) }
            throw object.impossible(at: key, error.reason)
        }
    }
}
