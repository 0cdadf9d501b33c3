/// How much one rendering may take: templates come from strangers.
public struct JinjaLimits: Sendable, Equatable {
    /// Expressions, statements and elements visited.
    public var steps: Int
    /// Bytes of text read or made on the way, all together; bounds time and memory.
    public var textBytes: Int
    /// Bytes of one string, the output included.
    public var stringBytes: Int

    /// Limits that no sensible template meets.
    public init(steps: Int = 2_000_000, textBytes: Int = 256 << 20, stringBytes: Int = 32 << 20) {
        self.steps = steps
        self.textBytes = textBytes
        self.stringBytes = stringBytes
    }

    // The rest guards the stack and is the same for everyone.

    /// Brackets within brackets and blocks within blocks, as the parser meets them.
    static let nesting = 60
    /// Nodes on the way from an expression's root to its leaf: `a + b + c` is three high.
    static let height = 120
    /// Statements, expressions and macro calls in progress at one time.
    static let depth = 250
    /// Lists within lists.
    static let valueDepth = 80
    /// As jinja2's sandbox has it.
    static let rangeCount = 100_000
    /// Characters of a template.
    static let sourceBytes = 1 << 20
    /// Macros, namespaces and recursive loops made while rendering.
    static let objects = 50_000
}
