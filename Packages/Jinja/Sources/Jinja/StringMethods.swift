/// Python's methods of strings.
extension Renderer {
    static let stringMethods: Set<String> = [
        "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "startswith", "endswith", "replace", "upper", "lower",
        "title", "capitalize", "swapcase", "casefold", "find", "rfind", "index", "rindex", "count", "join", "format", "isdigit",
        "isdecimal", "isnumeric", "isalpha", "isalnum", "isspace", "isupper", "islower", "partition", "rpartition",
        "removeprefix", "removesuffix", "center", "ljust", "rjust", "zfill",
    ]

    @inline(never)
    func call(_ name: String, of text: String, _ arguments: CallArguments) throws(JinjaError) -> Value {
        try charge(bytes: text.utf8.count)
        switch name {
        case "strip", "lstrip", "rstrip":
            try arguments.check(["chars"], of: name, self)
            let characters = try optionalTextArgument(arguments, 0, "chars", of: name)
            return .string(strip(text, characters, left: name != "rstrip", right: name != "lstrip"))
        case "split", "rsplit": return try split(text, arguments, fromEnd: name == "rsplit")
        case "splitlines": return try list(try lines(of: text, keepEnds: arguments.flag(0, "keepends")).map { .string($0) })
        case "startswith", "endswith": return .bool(try hasAffix(text, arguments, name))
        case "replace":
            let (old, new) = (try textArgument(arguments, 0, "old", of: name), try textArgument(arguments, 1, "new", of: name))
            return .string(try replaced(text, old, new, count: try arguments.integer(2, "count", self) ?? -1))
        case "find", "rfind", "index", "rindex", "count": return .int(try search(text, arguments, name))
        case "join":
            return .string(try joined(try elements(of: try arguments.required(0, "iterable", of: name, self)), by: text))
        case "format": return .string(try format(text, arguments))
        case "partition", "rpartition": return try partition(text, arguments, name)
        case "removeprefix", "removesuffix":
            let affix = try textArgument(arguments, 0, name, of: name)
            guard !affix.isEmpty, affix.utf8.count <= text.utf8.count else { return .string(text) }
            let bytes = Array(text.utf8)
            if name == "removeprefix" {
                return .string(bytes.starts(with: affix.utf8) ? Self.text(bytes[affix.utf8.count...]) : text)
            }
            let rest = bytes.count - affix.utf8.count
            return .string(bytes[rest...].elementsEqual(affix.utf8) ? Self.text(bytes[..<rest]) : text)
        case "center", "ljust", "rjust", "zfill": return .string(try padded(text, arguments, name))
        default:
            try arguments.check([], of: name, self)
            try charge(characters: text)
            return recased(text, name) ?? .bool(holds(name, of: text))
        }
    }

    private func recased(_ text: String, _ name: String) -> Value? {
        switch name {
        case "upper": .string(text.uppercased())
        case "lower", "casefold": .string(lowered(text))
        case "title": .string(titled(text))
        case "capitalize": .string(capitalized(text))
        case "swapcase":
            .string(
                text.unicodeScalars.map(\.properties).map { $0.isLowercase ? $0.uppercaseMapping : $0.lowercaseMapping }.joined())
        default: nil
        }
    }

    static func text(_ bytes: some Collection<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

    /// An argument that must be a string.
    private func textArgument(
        _ arguments: CallArguments, _ index: Int, _ name: String, of function: String
    ) throws(JinjaError) -> String {
        let value = try arguments.required(index, name, of: function, self)
        if case .undefined(let undefined) = value { throw fault(undefined.message) }
        guard let text = value.text else { throw fault("\(function)() takes a string, not \(value.type)") }
        return text
    }

    /// A string, or nil where None or nothing is given.
    private func optionalTextArgument(
        _ arguments: CallArguments, _ index: Int, _ name: String, of function: String
    ) throws(JinjaError) -> String? {
        guard let value = arguments.value(index, name), !value.isNone else { return nil }
        return try textArgument(arguments, index, name, of: function)
    }

    func strip(_ text: String, _ characters: String?, left: Bool = true, right: Bool = true) -> String {
        let set = characters.map { Set($0.unicodeScalars) }
        func isStripped(_ scalar: Unicode.Scalar) -> Bool { set?.contains(scalar) ?? scalar.isPythonSpace }
        var view = text.unicodeScalars[...]
        if left { while let first = view.first, isStripped(first) { view.removeFirst() } }
        if right { while let last = view.last, isStripped(last) { view.removeLast() } }
        return String(view)
    }

    func lines(of text: String, keepEnds: Bool = false) throws(JinjaError) -> [String] {
        try charge(scan: text)
        var lines: [String] = []
        var line = String.UnicodeScalarView()
        var previous: Unicode.Scalar?
        for scalar in text.unicodeScalars {
            defer { previous = scalar }
            if scalar == "\n", previous == "\r" {
                if keepEnds { lines[lines.count - 1].unicodeScalars.append(scalar) }
                continue
            }
            guard scalar.isPythonLineBreak else {
                line.append(scalar)
                continue
            }
            if keepEnds { line.append(scalar) }
            try charge()
            lines.append(String(line))
            line = String.UnicodeScalarView()
        }
        if !line.isEmpty { lines.append(String(line)) }
        return lines
    }

    private func split(_ text: String, _ arguments: CallArguments, fromEnd: Bool) throws(JinjaError) -> Value {
        try arguments.check(["sep", "maxsplit"], of: "split", self)
        let most = try arguments.integer(1, "maxsplit", self) ?? -1
        let limit = most < 0 ? Int.max : most
        guard let separator = try optionalTextArgument(arguments, 0, "sep", of: "split") else {
            return try list(try words(of: text, limit: limit, fromEnd: fromEnd).map { .string($0) })
        }
        guard !separator.isEmpty else { throw fault("empty separator") }
        return try list(pieces(of: text, separator, limit: limit, fromEnd: fromEnd).map { .string($0) })
    }

    /// The pieces between separators, cut at most `limit` times.
    func pieces(of text: String, _ separator: String, limit: Int, fromEnd: Bool) throws(JinjaError) -> [String] {
        try charge(bytes: text.utf8.count)
        let (bytes, part) = (Array(text.utf8), Array(separator.utf8))
        var places: [Int]
        // One more than there are steps for is as good as all.
        let limit = min(limit, limits.steps + 1)
        if fromEnd {
            places = Self.occurrences(of: part.reversed(), in: bytes.reversed(), limit: limit)
                .map { bytes.count - $0 - part.count }.reversed()
        } else {
            places = Self.occurrences(of: part, in: bytes, limit: limit)
        }
        places.append(bytes.count)
        try charge(places.count)
        var start = 0
        var pieces: [String] = []
        for place in places {
            pieces.append(Self.text(bytes[start..<place]))
            start = place + part.count
        }
        return pieces
    }

    /// The pieces between runs of white space.
    private func words(of text: String, limit: Int, fromEnd: Bool) throws(JinjaError) -> [String] {
        try charge(scan: text)
        var words: [String] = []
        var rest = text.unicodeScalars[...]
        while true {
            if fromEnd {
                while rest.last?.isPythonSpace == true { rest.removeLast() }
            } else {
                while rest.first?.isPythonSpace == true { rest.removeFirst() }
            }
            guard !rest.isEmpty else { break }
            try charge()
            if words.count == limit {
                words.append(String(rest))
                break
            }
            if fromEnd {
                let start = rest.lastIndex(where: \.isPythonSpace).map { rest.index(after: $0) } ?? rest.startIndex
                words.append(String(rest[start...]))
                rest = rest[..<start]
            } else {
                let end = rest.firstIndex(where: \.isPythonSpace) ?? rest.endIndex
                words.append(String(rest[..<end]))
                rest = rest[end...]
            }
        }
        return fromEnd ? words.reversed() : words
    }

    /// The part of the text between the arguments `start` and `end`, from argument 1, and how many characters come before it.
    private func window(_ text: String, _ arguments: CallArguments) throws(JinjaError) -> (text: String, offset: Int) {
        guard arguments.positional.count > 1 else { return (text, 0) }
        try charge(scan: text)
        let count = text.scalarCount
        func clamped(_ bound: Int) -> Int { max(0, min(bound < 0 ? bound + count : bound, count)) }
        let start = clamped(try arguments.integer(1, "start", self) ?? 0)
        let end = clamped(try arguments.integer(2, "end", self) ?? count)
        return (String(scalars: text.unicodeScalars.prefix(end).dropFirst(start)), start)
    }

    private func hasAffix(_ text: String, _ arguments: CallArguments, _ name: String) throws(JinjaError) -> Bool {
        let value = try arguments.required(0, "prefix", of: name, self)
        let text = try window(text, arguments).text
        var affixes = [value]
        if case .tuple(let items) = value { affixes = items.elements }
        for affix in affixes {
            if case .undefined(let undefined) = affix { throw fault(undefined.message) }
            guard let affix = affix.text else {
                throw fault("\(name) first arg must be str or a tuple of str, not \(affix.type)")
            }
            try charge(bytes: affix.utf8.count)
            let startsWith = name == "startswith"
            if startsWith ? text.utf8.starts(with: affix.utf8) : text.utf8.reversed().starts(with: affix.utf8.reversed()) {
                return true
            }
        }
        return false
    }

    func replaced(_ text: String, _ old: String, _ new: String, count: Int) throws(JinjaError) -> String {
        let limit = count < 0 ? Int.max : count
        if old.isEmpty {
            try charge(scan: text)
            let scalars = Array(text.unicodeScalars)
            let times = min(limit, scalars.count + 1)
            try charge(bytes: checkedBytes(text, new, times))
            var result = ""
            for (index, scalar) in scalars.enumerated() {
                if index < times { result += new }
                result.unicodeScalars.append(scalar)
            }
            return times > scalars.count ? result + new : result
        }
        let pieces = try pieces(of: text, old, limit: limit, fromEnd: false)
        try charge(bytes: checkedBytes(text, new, pieces.count))
        return pieces.joined(separator: new)
    }

    /// Bytes of a text with `times` insertions, or what no limit allows.
    private func checkedBytes(_ text: String, _ insertion: String, _ times: Int) -> Int {
        let (bytes, overflow) = insertion.utf8.count.multipliedReportingOverflow(by: times)
        return overflow ? Int.max : bytes.addingReportingOverflow(text.utf8.count).overflow ? Int.max : bytes + text.utf8.count
    }

    private func search(_ text: String, _ arguments: CallArguments, _ name: String) throws(JinjaError) -> Int {
        let part = try textArgument(arguments, 0, "sub", of: name)
        let (text, offset) = try window(text, arguments)
        if name == "count" {
            return part.isEmpty ? text.scalarCount + 1 : try occurrences(of: part, in: text).count
        }
        let bytes = Array(text.utf8)
        try charge(bytes: bytes.count)
        var place: Int?
        if name.hasPrefix("r") {
            place = Self.occurrences(of: part.utf8.reversed(), in: bytes.reversed(), limit: 1).first
                .map { bytes.count - $0 - part.utf8.count }
        } else {
            place = Self.occurrences(of: Array(part.utf8), in: bytes, limit: 1).first
        }
        guard let place else {
            guard name.hasSuffix("find") else { throw fault("substring not found") }
            return -1
        }
        return offset + bytes[..<place].count { $0 & 0xC0 != 0x80 }
    }

    private func partition(_ text: String, _ arguments: CallArguments, _ name: String) throws(JinjaError) -> Value {
        let separator = try textArgument(arguments, 0, "sep", of: name)
        guard !separator.isEmpty else { throw fault("empty separator") }
        let pieces = try pieces(of: text, separator, limit: 1, fromEnd: name == "rpartition")
        let parts =
            pieces.count == 2
            ? [pieces[0], separator, pieces[1]] : name == "partition" ? [text, "", ""] : ["", "", text]
        return .tuple(try items(parts.map { .string($0) }))
    }

    /// The strings of `elements` with `separator` between; anything but strings is a fault.
    private func joined(_ elements: [Value], by separator: String) throws(JinjaError) -> String {
        var texts: [String] = []
        for (index, element) in elements.enumerated() {
            guard let text = element.text else {
                throw fault("sequence item \(index): expected str instance, \(element.type) found")
            }
            texts.append(text)
        }
        return try join(texts, by: separator)
    }

    func join(_ texts: [String], by separator: String) throws(JinjaError) -> String {
        var bytes = 0
        for text in texts {
            bytes += text.utf8.count + separator.utf8.count
            guard bytes <= limits.stringBytes + separator.utf8.count else { break }
        }
        try charge(bytes: max(0, bytes - separator.utf8.count))
        return texts.joined(separator: separator)
    }
}
