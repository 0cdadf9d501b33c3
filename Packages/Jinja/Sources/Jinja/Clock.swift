import Foundation

/// A time and a place for `strftime_now`.
struct Clock {
    let date: Date
    let timeZone: TimeZone

    private static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
    ]
    private static let days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]

    /// `format` as C's `strftime` fills it in, in English; what it does not know stays as it is.
    func text(_ format: String) -> String {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = timeZone
        let parts = calendar.dateComponents([.year, .month, .day, .hour, .minute, .second, .weekday, .dayOfYear], from: date)
        var result = ""
        var scalars = format.unicodeScalars[...]
        while let scalar = scalars.popFirst() {
            guard scalar == "%", var letter = scalars.popFirst() else {
                result.unicodeScalars.append(scalar)
                continue
            }
            // glibc's %-d: without zeros.
            let isBare = letter == "-"
            if isBare, let next = scalars.popFirst() { letter = next }
            result += Self.field(letter, isBare, parts, self) ?? "%\(isBare ? "-" : "")\(letter)"
        }
        return result
    }

    private static func field(_ letter: Unicode.Scalar, _ isBare: Bool, _ parts: DateComponents, _ clock: Clock) -> String? {
        func number(_ value: Int, _ width: Int = 2, _ fill: String = "0") -> String {
            let digits = String(value)
            return isBare ? digits : String(repeating: fill, count: max(0, width - digits.count)) + digits
        }
        let (year, month, day) = (parts.year ?? 1970, parts.month ?? 1, parts.day ?? 1)
        let (hour, minute, second) = (parts.hour ?? 0, parts.minute ?? 0, parts.second ?? 0)
        let weekday = (parts.weekday ?? 1) - 1
        let twelve = hour % 12 == 0 ? 12 : hour % 12
        switch letter {
        case "Y": return String(year)
        case "y": return number(year % 100)
        case "C": return number(year / 100)
        case "m": return number(month)
        case "d": return number(day)
        case "e": return number(day, 2, " ")
        case "H": return number(hour)
        case "I": return number(twelve)
        case "M": return number(minute)
        case "S": return number(second)
        case "p": return hour < 12 ? "AM" : "PM"
        case "B": return months[(month - 1) % 12]
        case "b", "h": return String(months[(month - 1) % 12].prefix(3))
        case "A": return days[weekday % 7]
        case "a": return String(days[weekday % 7].prefix(3))
        case "w": return String(weekday)
        case "u": return String(weekday == 0 ? 7 : weekday)
        case "j": return number(parts.dayOfYear ?? 1, 3)
        case "f": return "000000"
        case "n": return "\n"
        case "t": return "\t"
        case "s": return Int(exactly: clock.date.timeIntervalSince1970.rounded(.down)).map { String($0) }
        case "F": return clock.text("%Y-%m-%d")
        case "D", "x": return clock.text("%m/%d/%y")
        case "T", "X": return clock.text("%H:%M:%S")
        case "R": return clock.text("%H:%M")
        case "r": return clock.text("%I:%M:%S %p")
        case "c": return clock.text("%a %b %e %H:%M:%S %Y")
        case "z", "Z": return ""
        case "%": return "%"
        default: return nil
        }
    }
}
