import Files

/// A form in which a run's metrics are written beside metrics.jsonl.
public enum MetricsLog: String, Sendable, CaseIterable {
    /// TensorBoard's event file, see ``EventFile``.
    case tensorboard
}

/// A run's figures as TensorBoard's event file: TFRecords of `Event` messages with scalar summaries.
///
/// ```
/// length u64 │ masked CRC-32C of it │ Event { 1: wall time f64, 2: step, 5: Summary { 1: Value { 1: tag, 2: f32 } … } } │ masked CRC-32C
/// ```
/// Source: TensorFlow, `core/lib/io/record_writer.h` and `core/util/event.proto`. Sampled texts are left to ``MetricsFile``.
public final class EventFile {
    /// The file's name in a run's folder; TensorBoard takes every name with "tfevents" in it.
    public static let name = "events.out.tfevents.kvlab"

    /// Each figure's tag; the part before the slash groups the charts.
    private static let tags: [(tag: String, value: @Sendable (MetricsFile.Line) -> Double?)] = [
        ("train/loss", { $0.loss }), ("train/learningRate", { $0.learningRate }), ("train/gradientNorm", { $0.gradientNorm }),
        ("train/tokensPerSecond", { $0.tokensPerSecond }), ("validation/loss", { $0.validationLoss }),
        ("validation/bitsPerByte", { $0.validationBitsPerByte }),
    ]

    private let file: AppendedFile
    private let clock: () -> Double

    /// Opens the file at `path` and drops events past `step`, whose steps a resumed run repeats.
    ///
    /// A file that is missing is made of `lines`, the metrics up to that step, which have the time of now.
    ///
    /// - Parameter clock: seconds since 1970.
    public init(path: String, keepingThrough step: Int, lines: [MetricsFile.Line], clock: @escaping () -> Double) throws {
        self.clock = clock
        var records = Self.records(path: path).filter { Self.step(of: $0) <= step }
        if records.isEmpty {
            records = [Self.head(time: clock())]
            records += lines.compactMap { Self.event($0, time: clock()) }
        }
        try AtomicFile.write(records.flatMap(Self.framed), to: path, links: .refused)
        file = try AppendedFile(path: path)
    }

    /// Appends an event with the line's figures completely or, where the disk is full, not at all; a line without figures has none.
    public func write(_ line: MetricsFile.Line) throws {
        guard let event = Self.event(line, time: clock()) else { return }
        try file.append(Self.framed(event))
    }

    /// The steps of an event file's figures.
    public static func steps(path: String) -> [Int] { records(path: path).dropFirst().map(step) }

    /// The messages of an event file before the first damaged or cut one; none for a path that is no ordinary file.
    static func records(path: String) -> [[UInt8]] {
        guard let bytes = try? RegularFile.contents(path, links: .refused) else { return [] }
        var (records, position) = ([[UInt8]](), 0)
        while bytes.count - position >= 16 {
            let length = little(bytes[position..<position + 8])
            guard length <= UInt64(bytes.count - position - 16) else { break }
            let record = [UInt8](bytes[position + 12..<position + 12 + Int(length)])
            let frame = framed(record)
            guard bytes[position..<position + frame.count].elementsEqual(frame) else { break }
            records.append(record)
            position += frame.count
        }
        return records
    }

    /// A message as a TFRecord.
    static func framed(_ message: [UInt8]) -> [UInt8] {
        func masked(_ bytes: [UInt8]) -> [UInt8] {
            let sum = CRC32C.checksum(bytes)
            return little((sum >> 15 | sum << 17) &+ 0xA282_EAD8)
        }
        let length = little(UInt64(message.count))
        return length + masked(length) + message + masked(message)
    }

    /// The event that begins a file, without a step.
    private static func head(time: Double) -> [UInt8] { field(1, time) + field(3, Array("brain.Event:2".utf8)) }

    /// The event of a line; nil for a line without figures.
    private static func event(_ line: MetricsFile.Line, time: Double) -> [UInt8]? {
        let values = tags.flatMap { tag, value -> [UInt8] in
            guard let value = value(line) else { return [] }
            return field(1, field(1, Array(tag.utf8)) + [2 << 3 | 5] + little(Float(value).bitPattern))
        }
        guard !values.isEmpty else { return nil }
        return field(1, time) + [2 << 3] + varint(UInt64(line.step)) + field(5, values)
    }

    /// The step of an event that this class wrote; 0 where it has none.
    private static func step(of event: [UInt8]) -> Int {
        guard event.count > 9, event[9] == 2 << 3 else { return 0 }
        var (step, shift) = (UInt64(0), UInt64(0))
        for byte in event[10...] where shift < 64 {
            step |= UInt64(byte & 0x7F) << shift
            guard byte & 0x80 != 0 else { break }
            shift += 7
        }
        return Int(clamping: step)
    }

    /// A field of 64 bits.
    private static func field(_ number: UInt8, _ value: Double) -> [UInt8] { [number << 3 | 1] + little(value.bitPattern) }

    /// A field of bytes.
    private static func field(_ number: UInt8, _ bytes: [UInt8]) -> [UInt8] {
        [number << 3 | 2] + varint(UInt64(bytes.count)) + bytes
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        var (rest, bytes) = (value, [UInt8]())
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    private static func little(_ value: some FixedWidthInteger & UnsignedInteger) -> [UInt8] {
        (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    private static func little(_ bytes: some Collection<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
