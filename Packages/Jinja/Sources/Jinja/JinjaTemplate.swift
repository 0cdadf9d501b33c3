import Foundation

/// A Jinja template as Hugging Face's chat templates are written: parsed once, rendered any number of times, by any number of
/// tasks at once.
///
/// Renders what `apply_chat_template` of transformers does: jinja2's immutable sandbox with `trim_blocks`, `lstrip_blocks`,
/// `break` and `continue`, the `generation` block, `raise_exception`, `strftime_now` and a `tojson` that escapes no HTML. Other
/// ``JinjaSettings`` may be given.
/// Integers have 64 bits: an overflow is an error where Python goes on. There are no other templates to include, import or
/// extend, `safe` and `escape` give plain strings, and iterators are filled at once where Python's are lazy.
///
/// ```swift
/// let template = try JinjaTemplate("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
/// let prompt = try template.render(["messages": [["role": "user", "content": "Hello"]]])
/// ```
public struct JinjaTemplate: Sendable {
    private let body: [Statement]
    private let settings: JinjaSettings

    /// Parses `source`; throws where it is no template, or one that nests too deep.
    public init(_ source: String, settings: JinjaSettings = .chat) throws(JinjaError) {
        var parser = Parser(try Lexer.tokens(of: source, settings))
        body = try parser.template()
        self.settings = settings
    }

    /// The template's text for `variables`.
    ///
    /// - Parameters:
    ///   - now: the time for `strftime_now`.
    ///   - timeZone: the time zone that it is told in.
    ///   - limits: how much the template may take.
    public func render(
        _ variables: [String: JinjaValue], now: Date = Date(), timeZone: TimeZone = .current, limits: JinjaLimits = JinjaLimits()
    ) throws(JinjaError) -> String {
        try renderMarkingGeneration(variables, now: now, timeZone: timeZone, limits: limits).text
    }

    /// The rendered text, and the ranges of UTF-8 bytes that its `generation` blocks wrote, in their order: the assistant's turns
    /// of `apply_chat_template` with `return_assistant_tokens_mask`.
    ///
    /// Blocks within macros, `set` and `filter` are left out: where their output goes is not known.
    public func renderMarkingGeneration(
        _ variables: [String: JinjaValue], now: Date = Date(), timeZone: TimeZone = .current, limits: JinjaLimits = JinjaLimits()
    ) throws(JinjaError) -> (text: String, generated: [Range<Int>]) {
        let renderer = Renderer(
            limits: limits, clock: Clock(date: now, timeZone: timeZone), isStrict: settings.isStrict)
        let text = try renderer.render(body, variables)
        return (text, renderer.generated)
    }
}
