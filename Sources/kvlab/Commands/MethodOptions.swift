import ArgumentParser
import Conversion
import Models

/// The settings of all conversions as options, made from the methods' declarations.
///
/// ArgumentParser finds options by reflection and decodes them by key. The mirror of this type has one option for each setting, whichever
/// methods declare it.
struct MethodOptions: ParsableArguments, CustomReflectable {
    /// The values given.
    private var given: DesignSettings = [:]

    /// Each option's setting, with the names of the methods that have it.
    private static let declared = ConversionMethods.all.reduce(into: [(setting: DesignSetting, methods: [String])]()) {
        found, method in
        for setting in method.settings {
            if let place = found.firstIndex(where: { $0.setting.key == setting.key }) {
                found[place].methods.append(method.name)
            } else {
                found.append((setting, [method.name]))
            }
        }
    }

    init() {}

    init(from decoder: any Decoder) throws {
        let options = try decoder.container(keyedBy: OptionKey.self)
        for (setting, _) in Self.declared {
            let key = OptionKey(setting.key)
            switch setting.kind {
            case .integer: given[setting.key] = try options.decode(Option<Int?>.self, forKey: key).wrappedValue
            case .choice:
                given.values[setting.key] = try options.decode(Option<String?>.self, forKey: key).wrappedValue.map { .choice($0) }
            case .flag:
                if try options.decode(Flag<Bool>.self, forKey: key).wrappedValue { given.values[setting.key] = .flag(false) }
            }
        }
    }

    var customMirror: Mirror {
        Mirror(
            self,
            children: Self.declared.map { setting, methods -> (label: String?, value: Any) in
                // Every merge of heads has the same settings.
                let isMerge = methods.contains { name in ConversionMethods.merges.contains { $0.name == name } }
                let help = isMerge ? setting.help.prefix(1).uppercased() + setting.help.dropFirst() : setting.help
                let text = (isMerge ? "" : methods.joined(separator: ", ") + ": ") + help + "."
                let name = NameSpecification.customLong(setting.option)
                let option: Any =
                    switch setting.kind {
                    case .integer: Option<Int?>(name: name, help: ArgumentHelp(text))
                    case .choice(let names): Option<String?>(name: name, help: ArgumentHelp(text), completion: .list(names))
                    case .flag: Flag<Bool>(wrappedValue: false, name: name, help: ArgumentHelp(text))
                    }
                return ("_" + setting.key, option)
            })
    }

    /// Whether no setting was given.
    var isEmpty: Bool { given.values.isEmpty }

    /// The method called `name` with the settings given; throws for no such method and as ``settings(for:hasBudget:)``.
    func method(named name: String, hasBudget: Bool = false) throws -> any ConversionMethod {
        guard var method = ConversionMethods.named(name) else {
            throw ValidationError(ConversionError.unknownMethod(name).description)
        }
        guard !hasBudget || method.budgetedSetting != nil else {
            throw ValidationError("--budget-bytes-per-token means nothing for '\(name)'")
        }
        method.set(try settings(for: method, hasBudget: hasBudget))
        return method
    }

    /// The values for `method`, one of which a budget may determine; throws for a setting that it does not have, a missing value, and a
    /// value out of range.
    private func settings(for method: any ConversionMethod, hasBudget: Bool) throws -> DesignSettings {
        for (other, _) in Self.declared {
            guard let value = given.values[other.key] else { continue }
            guard let setting = method.settings.first(where: { $0.key == other.key }),
                !hasBudget || method.budgetedSetting != other.key
            else {
                throw ValidationError(
                    "--\(other.option) means nothing for '\(method.name)'" + (hasBudget ? " with a budget" : ""))
            }
            switch (setting.kind, value) {
            case (.integer(let range), .integer(let value)) where !range.contains(value):
                let limit = value < range.lowerBound ? "at least \(range.lowerBound)" : "at most \(range.upperBound)"
                throw ValidationError("--\(setting.option) is \(value), expected \(limit)")
            case (.choice(let names), .choice(let name)) where !names.contains(name):
                throw ValidationError("--\(setting.option) is '\(name)', expected one of \(names.joined(separator: ", "))")
            case (.integer, _), (.choice, _), (.flag, _): break
            }
        }
        let missing = method.settings.first {
            $0.isRequired && given.values[$0.key] == nil && !(hasBudget && method.budgetedSetting == $0.key)
        }
        if let missing {
            let budget = missing.key == method.budgetedSetting ? " or --budget-bytes-per-token" : ""
            throw ValidationError("'\(method.name)' needs --\(missing.option)\(budget)")
        }
        return given
    }
}
