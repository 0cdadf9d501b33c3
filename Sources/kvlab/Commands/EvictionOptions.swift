import ArgumentParser
import Inference

/// The eviction of slots on the command line, shared by every command that keeps a cache; its options are made from the settings'
/// declarations.
///
/// ArgumentParser finds them by reflection and decodes them by key, as those of ``MethodOptions``.
struct EvictionOptions: ParsableArguments, CustomReflectable {
    /// The settings given.
    private(set) var settings = EvictionSettings()

    init() {}

    init(from decoder: any Decoder) throws {
        let options = try decoder.container(keyedBy: OptionKey.self)
        for setting in CacheSetting.eviction {
            func text<Value: ExpressibleByArgument & LosslessStringConvertible>(_: Value.Type) throws -> String? {
                try options.decode(Option<Value?>.self, forKey: OptionKey(setting.key)).wrappedValue?.description
            }
            if let text = try text(setting.argumentType) { setting.set(&settings, text) }
        }
    }

    var customMirror: Mirror {
        func option<Value: ExpressibleByArgument>(_ setting: CacheSetting, _: Value.Type) -> Any {
            let help = ArgumentHelp(setting.help, valueName: setting.valueName)
            guard case .choice(let names) = setting.kind else {
                return Option<Value?>(name: .customLong(setting.option), help: help)
            }
            return Option<Value?>(name: .customLong(setting.option), help: help, completion: .list(names))
        }
        return Mirror(self, children: CacheSetting.eviction.map { ("_" + $0.key, option($0, $0.argumentType)) })
    }

    func validate() throws { _ = try retention() }

    /// The retention asked for; full without a policy.
    func retention() throws -> any Retention {
        do { return try settings.retention() } catch { throw ValidationError("\(error)") }
    }

    /// The policy and its budget in words; nil without a policy.
    var text: String? {
        settings.policy.map { name in
            name + (settings.budget.map { ", \($0) slots" } ?? "") + (settings.merge.map { ", merged by \($0)" } ?? "")
        }
    }
}

extension CacheSetting {
    /// The type of its value as an argument.
    fileprivate var argumentType: any (ExpressibleByArgument & LosslessStringConvertible).Type {
        guard let type = type as? any (ExpressibleByArgument & LosslessStringConvertible).Type else {
            preconditionFailure("\(type), the type of '\(key)', is no argument's")
        }
        return type
    }
}

extension EvictionBudget: ExpressibleByArgument {}

extension ScorePool: ExpressibleByArgument {}

extension AttentionShare: ExpressibleByArgument {}

extension BudgetAllocation: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
}
