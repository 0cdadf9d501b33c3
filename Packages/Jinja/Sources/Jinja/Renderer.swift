/// One rendering: the variables, the output, and the rest of the limits.
final class Renderer {
    let limits: JinjaLimits
    let clock: Clock
    /// Whether an undefined variable is an error wherever it is used.
    let isStrict: Bool
    /// The line being rendered, for errors.
    var line = 1
    private var steps = 0
    private var textBytes = 0
    private var depth = 0
    /// The output of the current block so far.
    private var output = ""

    // Tables of what values refer to by number: see ``Value``.
    var namespaces: [[(name: String, value: Value)]] = []
    var macros: [(macro: Macro, scope: Scope)] = []
    var recursions: [(loop: ForLoop, scope: Scope)] = []
    var memories: [Value] = []

    init(limits: JinjaLimits, clock: Clock, isStrict: Bool) {
        self.limits = limits
        self.clock = clock
        self.isStrict = isStrict
    }

    /// Python's truth of a value.
    func isTrue(_ value: Value) throws(JinjaError) -> Bool {
        try refuseUndefined(value)
        return value.isTrue
    }

    /// Throws where the value is undefined and that is an error.
    func refuseUndefined(_ value: Value) throws(JinjaError) {
        if isStrict, case .undefined(let undefined) = value { throw fault(undefined.message) }
    }

    /// The output of `generation` blocks, in UTF-8 bytes of the whole text.
    private(set) var generated: [Range<Int>] = []
    /// Blocks whose output is captured around the current one.
    private var captures = 0

    /// The text of the whole template.
    func render(_ body: [Statement], _ variables: [String: JinjaValue]) throws(JinjaError) -> String {
        let context = Scope(nil)
        for (name, variable) in variables {
            guard let value = Value(variable, name: name) else {
                throw limit("the variable '\(name)' nests deeper than \(JinjaLimits.valueDepth) levels")
            }
            context.variables[name] = value
        }
        _ = try run(body, Scope(context))
        return output
    }

    // MARK: Limits

    func fault(_ reason: String) -> JinjaError { JinjaError(.fault, line: line, reason: reason) }

    func limit(_ reason: String) -> JinjaError { JinjaError(.limit, line: line, reason: reason) }

    /// Counts steps.
    func charge(_ count: Int = 1) throws(JinjaError) {
        let (sum, overflow) = steps.addingReportingOverflow(count)
        guard !overflow, sum <= limits.steps else { throw limit("more than \(limits.steps) steps") }
        steps = sum
    }

    /// Counts the work of going through a text character by character.
    func charge(scan text: String) throws(JinjaError) { try charge(text.utf8.count / 16) }

    /// Counts the work of asking for the properties of every character, which is slower.
    func charge(characters text: String) throws(JinjaError) { try charge(text.utf8.count / 4) }

    /// Counts bytes of text read or about to be made.
    func charge(bytes: Int) throws(JinjaError) {
        guard bytes <= limits.stringBytes else { throw limit("a string of more than \(limits.stringBytes) bytes") }
        textBytes += bytes
        guard textBytes <= limits.textBytes else { throw limit("more than \(limits.textBytes) bytes of text in all") }
    }

    /// A list, unless it nests too deep.
    func list(_ elements: [Value]) throws(JinjaError) -> Value { .list(try items(elements)) }

    func items(_ elements: [Value]) throws(JinjaError) -> Items {
        try charge(elements.count)
        let items = Items(elements)
        guard items.depth <= JinjaLimits.valueDepth else { throw tooDeep }
        return items
    }

    func dictionary(_ members: [(key: DictionaryKey, value: Value)]) throws(JinjaError) -> Value {
        try charge(members.count)
        let dictionary = OrderedDictionary(members)
        guard dictionary.depth <= JinjaLimits.valueDepth else { throw tooDeep }
        return .dictionary(dictionary)
    }

    private var tooDeep: JinjaError { limit("a value that nests deeper than \(JinjaLimits.valueDepth) levels") }

    /// Fails where the renderer's tables are full.
    func checkTables() throws(JinjaError) {
        guard namespaces.count + macros.count + recursions.count + memories.count < JinjaLimits.objects else {
            throw limit("more than \(JinjaLimits.objects) macros and namespaces")
        }
    }

    /// Goes one level deeper, where there is a level left; ``leave()`` goes back.
    func enter() throws(JinjaError) {
        guard depth < JinjaLimits.depth else {
            throw limit("more than \(JinjaLimits.depth) expressions and blocks within each other")
        }
        try charge()
        depth += 1
    }

    func leave() { depth -= 1 }

    // MARK: Statements

    /// How a run of statements ended.
    enum Flow {
        case done, exitLoop, nextIteration
    }

    @inline(never)
    func write(_ text: String) throws(JinjaError) {
        try charge(bytes: text.utf8.count)
        output += text
        guard output.utf8.count <= limits.stringBytes else {
            throw limit("an output of more than \(limits.stringBytes) bytes")
        }
    }

    /// The output of `body`.
    @inline(never)
    func captured(_ body: () throws(JinjaError) -> Void) throws(JinjaError) -> String {
        let outer = output
        output = ""
        captures += 1
        try body()
        defer {
            output = outer
            captures -= 1
        }
        return output
    }

    /// Runs a `generation` block; where its output is captured it has no place in the text yet.
    @inline(never)
    private func generation(_ body: [Statement], _ scope: Scope) throws(JinjaError) -> Flow {
        let start = output.utf8.count
        let flow = try run(body, Scope(scope))
        if captures == 0, output.utf8.count > start { generated.append(start..<output.utf8.count) }
        return flow
    }

    func run(_ statements: [Statement], _ scope: Scope) throws(JinjaError) -> Flow {
        for statement in statements {
            try enter()
            let flow = try run(statement, scope)
            leave()
            if flow != .done { return flow }
        }
        return .done
    }

    // What follows calls itself through templates that nest. Each kind of statement has a function of its own, not inlined,
    // so that a level takes no more stack than its kind needs.

    private func run(_ statement: Statement, _ scope: Scope) throws(JinjaError) -> Flow {
        line = statement.line
        switch statement.node {
        case .text(let text): try write(text)
        case .print(let expression): try print(expression, scope)
        case .branch(let tests, let bodies): return try branch(tests, bodies, scope)
        case .loop(let loop): try run(loop, scope)
        case .set(let target, let expression): try assign(try evaluate(expression, scope), to: target, scope)
        case .setBlock(let target, let filters, let body): try assign(try filtered(body, filters, scope), to: target, scope)
        case .macro(let macro): scope.variables[macro.name] = try define(macro, scope)
        case .call(let call, let macro): try run(call, macro, scope)
        case .with(let targets, let values, let body): return try with(targets, values, body, scope)
        case .filter(let filters, let body): try write(try string(try filtered(body, filters, scope)))
        case .generation(let body): return try generation(body, scope)
        case .exitLoop: return .exitLoop
        case .nextIteration: return .nextIteration
        }
        return .done
    }

    @inline(never)
    private func print(_ expression: Expression, _ scope: Scope) throws(JinjaError) {
        try write(try string(try evaluate(expression, scope)))
    }

    @inline(never)
    private func run(_ loop: ForLoop, _ scope: Scope) throws(JinjaError) {
        try run(loop, try evaluate(loop.sequence, scope), scope, level: 0, recursion: nil)
    }

    @inline(never)
    private func run(_ call: Expression, _ macro: Macro, _ scope: Scope) throws(JinjaError) {
        guard case .call(let callee, let arguments) = call.node else { return }
        let caller = try define(macro, scope)
        try write(try string(try self.call(callee, arguments, scope, caller: caller)))
    }

    @inline(never)
    private func with(
        _ targets: [Target], _ values: [Expression], _ body: [Statement], _ scope: Scope
    ) throws(JinjaError) -> Flow {
        let inner = Scope(scope)
        for (target, value) in zip(targets, values) { try assign(try evaluate(value, scope), to: target, inner) }
        return try run(body, inner)
    }

    @inline(never)
    private func branch(_ tests: [Expression], _ bodies: [[Statement]], _ scope: Scope) throws(JinjaError) -> Flow {
        for (test, body) in zip(tests, bodies) {
            line = test.line
            if try isTrue(try evaluate(test, scope)) { return try run(body, scope) }
        }
        return bodies.count > tests.count ? try run(bodies[tests.count], scope) : .done
    }

    /// The output of `body`, through `filters`.
    @inline(never)
    private func filtered(_ body: [Statement], _ filters: [FilterCall], _ scope: Scope) throws(JinjaError) -> Value {
        let inner = Scope(scope)
        var value = Value.string(try captured { () throws(JinjaError) in _ = try run(body, inner) })
        for filter in filters { value = try apply(filter, to: value, scope) }
        return value
    }

    /// Runs a loop over `sequence`; `recursion` is its number where it is already running.
    @inline(never)
    func run(
        _ loop: ForLoop, _ sequence: Value, _ scope: Scope, level: Int, recursion: Int?
    ) throws(JinjaError) {
        var elements = try elements(of: sequence)
        if loop.usesLoop, loop.test != nil {
            var kept: [Value] = []
            for element in elements where try passes(element, loop, scope) { kept.append(element) }
            elements = kept
        }
        var state: LoopState?
        if loop.usesLoop || loop.isRecursive {
            var number = recursion
            if loop.isRecursive, number == nil {
                try checkTables()
                number = recursions.count
                recursions.append((loop, scope))
            }
            state = LoopState(try items(elements), level: level, recursion: number)
        }
        var isEmpty = true
        for (index, element) in elements.enumerated() {
            try charge()
            if !loop.usesLoop, loop.test != nil, !(try passes(element, loop, scope)) { continue }
            isEmpty = false
            let inner = Scope(scope)
            state?.index = index
            if let state { inner.variables["loop"] = .loop(state) }
            try assign(element, to: loop.target, inner)
            if try run(loop.body, inner) == .exitLoop { break }
        }
        if isEmpty { _ = try run(loop.otherwise, Scope(scope)) }
    }

    @inline(never)
    private func passes(_ element: Value, _ loop: ForLoop, _ scope: Scope) throws(JinjaError) -> Bool {
        guard let test = loop.test else { return true }
        let inner = Scope(scope)
        try assign(element, to: loop.target, inner)
        return try isTrue(try evaluate(test, inner))
    }

    @inline(never)
    private func assign(_ value: Value, to target: Target, _ scope: Scope) throws(JinjaError) {
        switch target {
        case .name(let name): scope.variables[name] = value
        case .attribute(let name, let attribute):
            guard case .namespace(let number)? = scope[name] else {
                throw fault("cannot assign attribute on non-namespace object")
            }
            try set(attribute, to: value, in: number)
        case .tuple(let targets):
            let elements = try elements(of: value)
            guard elements.count <= targets.count else { throw fault("too many values to unpack (expected \(targets.count))") }
            guard elements.count == targets.count else {
                throw fault("not enough values to unpack (expected \(targets.count), got \(elements.count))")
            }
            for (element, target) in zip(elements, targets) { try assign(element, to: target, scope) }
        }
    }

    /// Sets an attribute of a namespace.
    func set(_ name: String, to value: Value, in number: Int) throws(JinjaError) {
        guard !name.hasPrefix("_") else {
            throw fault("chat templates cannot store underscore-prefixed attributes on a namespace, but got '\(name)'")
        }
        if let place = namespaces[number].firstIndex(where: { $0.name.isSame(as: name) }) {
            namespaces[number][place].value = value
        } else {
            try charge(namespaces[number].count)
            namespaces[number].append((name, value))
        }
    }
}
