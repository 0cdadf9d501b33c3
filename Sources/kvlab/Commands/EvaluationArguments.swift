import ArgumentParser
import Evaluation

/// The models and settings of an evaluation as arguments of its command, made from its declaration.
///
/// ArgumentParser finds them by reflection and decodes them by key, as those of ``MethodOptions``. Evictions before or behind the
/// question are the cache's options.
struct EvaluationArguments<Kind: EvaluationKind>: ParsableArguments, CustomReflectable {
    /// The paths of the checkpoints.
    private(set) var models: [String] = []
    /// The settings as they were given, defaults filled in.
    private var texts: [String: String] = [:]
    /// Flags and lists of files.
    private var given: [String: EvaluationSetting.Value] = [:]

    private static var settings: [EvaluationSetting] { Kind.settings.filter { $0.key != EvaluationSetting.queryAware.key } }

    private static var modelsKey: String { "models" }

    init() {}

    init(from decoder: any Decoder) throws {
        let arguments = try decoder.container(keyedBy: OptionKey.self)
        models = try arguments.decode(Argument<[String]>.self, forKey: OptionKey(Self.modelsKey)).wrappedValue
        for setting in Self.settings {
            let key = OptionKey(setting.key)
            switch Form(setting) {
            case .flag:
                if try arguments.decode(Flag<Bool>.self, forKey: key).wrappedValue { given[setting.key] = .flag(true) }
            case .list:
                let files = try arguments.decode(Option<[String]>.self, forKey: key).wrappedValue
                if !files.isEmpty { given[setting.key] = .texts(files) }
            case .argument: texts[setting.key] = try arguments.decode(Argument<String>.self, forKey: key).wrappedValue
            case .present: texts[setting.key] = try arguments.decode(Option<String>.self, forKey: key).wrappedValue
            case .optional: texts[setting.key] = try arguments.decode(Option<String?>.self, forKey: key).wrappedValue
            }
        }
    }

    var customMirror: Mirror {
        let settings = Self.settings.map { setting -> Mirror.Child in ("_" + setting.key, Self.argument(setting)) }
        let models: Mirror.Child = (
            "_" + Self.modelsKey,
            Argument<[String]>(
                help: "Checkpoints; the others are compared with the first.", completion: .file(extensions: ["h5"]))
        )
        let alone = Self.settings.count(where: \.standsAlone)
        return Mirror(self, children: settings.prefix(alone) + [models] + settings.dropFirst(alone))
    }

    /// The argument of a setting as ArgumentParser declares one.
    private static func argument(_ setting: EvaluationSetting) -> Any {
        let name = NameSpecification.customLong(setting.option)
        var (completion, parsing, more) = (CompletionKind?.none, ArrayParsingStrategy.singleValue, "")
        switch setting.kind {
        case .file(let extensions): completion = .file(extensions: extensions)
        case .folder: completion = .directory
        case .files: (completion, parsing) = (.file(), .upToNextOption)
        case .splits: (completion, more) = (.file(), " Repeatable.")
        case .choice(let names): completion = .list(names)
        case .integer, .flag, .text, .integers, .texts: break
        }
        let help = ArgumentHelp("\(Kind.withOptions(setting.sentence))\(more)")
        switch Form(setting) {
        case .flag: return Flag<Bool>(wrappedValue: false, name: name, help: help)
        case .list where setting.isRequired:
            return Option<[String]>(name: name, parsing: parsing, help: help, completion: completion)
        case .list: return Option<[String]>(wrappedValue: [], name: name, parsing: parsing, help: help, completion: completion)
        case .argument:
            return Argument<String>(help: ArgumentHelp(help.abstract, valueName: Kind.name), completion: completion)
        case .present:
            guard let fallback = setting.fallback else {
                return Option<String>(name: name, help: help, completion: completion)
            }
            return Option<String>(wrappedValue: "\(fallback)", name: name, help: help, completion: completion)
        case .optional: return Option<String?>(name: name, help: help, completion: completion)
        }
    }

    func validate() throws {
        let spec = try self.spec()
        do { try spec.check() } catch { throw ValidationError(error.sentence(for: Kind.self)) }
    }

    /// The evaluation with the settings given; throws a sentence that names the first option whose value means nothing.
    func spec(isQueryAware: Bool = false) throws -> EvaluationSpec {
        var given = given
        if isQueryAware { given[EvaluationSetting.queryAware.key] = .flag(true) }
        for setting in Self.settings {
            guard let text = texts[setting.key] else { continue }
            guard let value = setting.value(text) else {
                let found = Int(text) == nil ? "'\(text)'" : text
                throw ValidationError("--\(setting.option) is \(found), expected \(setting.expected)")
            }
            if value != setting.fallback { given[setting.key] = value }
        }
        do throws(EvaluationFault) { return try EvaluationSpec(Kind.name, given) } catch {
            throw ValidationError(error.sentence(for: Kind.self))
        }
    }

    /// The evaluation with its files read.
    func work(_ spec: EvaluationSpec) throws -> EvaluationWork {
        do { return try spec.make() } catch let fault as EvaluationFault {
            throw ValidationError(fault.sentence(for: Kind.self))
        }
    }

    /// The form in which a setting is an argument.
    private enum Form {
        case argument, flag, list, present, optional

        init(_ setting: EvaluationSetting) {
            switch setting.kind {
            case .flag: self = .flag
            case .files, .splits: self = .list
            case _ where setting.standsAlone: self = .argument
            // The sentence of an absence is the evaluation's own.
            case _ where setting.isRequired && setting.absence == nil || setting.fallback != nil: self = .present
            case .integer, .text, .choice, .file, .folder, .integers, .texts: self = .optional
            }
        }
    }
}
