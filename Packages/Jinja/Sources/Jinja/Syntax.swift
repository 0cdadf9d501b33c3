/// An expression as the parser read it.
final class Expression: Sendable {
    enum Node: Sendable {
        case none
        case bool(Bool)
        case int(Int)
        case double(Double)
        case string(String)
        case name(String)
        case list([Expression])
        case tuple([Expression])
        /// Keys and values in turn.
        case dictionary([Expression])
        case negative(Expression)
        case positive(Expression)
        case not(Expression)
        case and(Expression, Expression)
        case or(Expression, Expression)
        case arithmetic(Arithmetic, Expression, Expression)
        case concatenation([Expression])
        case comparison(Expression, [Comparison], [Expression])
        case conditional(test: Expression, then: Expression, otherwise: Expression?)
        case filter(Expression, FilterCall)
        case test(Expression, TestName, Arguments)
        case attribute(Expression, String)
        case item(Expression, Expression)
        case slice(Expression, start: Expression?, stop: Expression?, step: Expression?)
        case call(Expression, Arguments)
    }

    let node: Node
    let line: Int
    /// Nodes down to the deepest leaf, so that nothing that walks the tree runs out of stack.
    let height: Int

    init(_ node: Node, line: Int, height: Int) {
        self.node = node
        self.line = line
        self.height = height
    }
}

enum Arithmetic: String, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case modulo = "%"
    case power = "**"
}

enum Comparison: String, Sendable {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case isIn = "in"
    case isNotIn = "not in"
}

/// The arguments of a call.
struct Arguments: Sendable {
    var positional: [Expression] = []
    var names: [String] = []
    /// The values of `names`.
    var named: [Expression] = []
    /// `*list`
    var list: Expression?
    /// `**dictionary`
    var dictionary: Expression?

    var all: [Expression] { positional + named + [list, dictionary].compactMap { $0 } }
}

/// A filter and its arguments.
struct FilterCall: Sendable {
    var name: FilterName
    var arguments: Arguments
}

/// The target of an assignment.
indirect enum Target: Sendable {
    case name(String)
    /// `namespace.attribute`
    case attribute(String, String)
    case tuple([Target])
}

/// A statement as the parser read it.
final class Statement: Sendable {
    enum Node: Sendable {
        case text(String)
        case print(Expression)
        /// The tests with their bodies, in order; the last body without a test is the `else`.
        case branch([Expression], [[Statement]])
        case loop(ForLoop)
        case set(Target, Expression)
        case setBlock(Target, [FilterCall], [Statement])
        case macro(Macro)
        /// The macro is the block's body, given to the called macro as `caller`.
        case call(Expression, Macro)
        case with([Target], [Expression], [Statement])
        case filter([FilterCall], [Statement])
        /// A `generation` block: a scope whose output is the assistant's.
        case generation([Statement])
        case exitLoop
        case nextIteration
    }

    let node: Node
    let line: Int

    init(_ node: Node, line: Int) {
        self.node = node
        self.line = line
    }
}

final class ForLoop: Sendable {
    let target: Target
    let sequence: Expression
    let test: Expression?
    let isRecursive: Bool
    let body: [Statement]
    let otherwise: [Statement]
    /// Whether the body names `loop`; if not, the test is asked just before each iteration, as jinja2 does.
    let usesLoop: Bool

    init(
        target: Target, sequence: Expression, test: Expression?, isRecursive: Bool, body: [Statement], otherwise: [Statement],
        usesLoop: Bool
    ) {
        self.target = target
        self.sequence = sequence
        self.test = test
        self.isRecursive = isRecursive
        self.body = body
        self.otherwise = otherwise
        self.usesLoop = usesLoop
    }
}

final class Macro: Sendable {
    let name: String
    let parameters: [String]
    /// The defaults of the last parameters.
    let defaults: [Expression]
    let body: [Statement]
    /// Names that the body reads.
    let names: Set<String>

    init(name: String, parameters: [String], defaults: [Expression], body: [Statement], names: Set<String>) {
        self.name = name
        self.parameters = parameters
        self.defaults = defaults
        self.body = body
        self.names = names
    }
}
