// Checks that the package file tells the truth: every import of a target is a declared dependency, and every declared
// dependency is imported. Usage: swift package dump-package | modules ROOT
import Foundation

/// Modules that come with the toolchain and the system.
let toolchain: Set<String> = [
    "Dispatch", "Foundation", "FoundationEssentials", "FoundationNetworking", "Glibc", "PackageDescription", "Swift",
    "Synchronization",
    "Testing", "XCTest",
]

struct Target {
    var name: String
    var isExecutable: Bool
    var isSystem: Bool
    var path: String
    var excluded: [String]
    var dependencies: [String]
}

func targets(_ root: String) throws -> [Target] {
    let data = FileHandle.standardInput.readDataToEndOfFile()
    guard let package = try JSONSerialization.jsonObject(with: data) as? [String: Any],
        let targets = package["targets"] as? [[String: Any]]
    else { throw CocoaError(.fileReadCorruptFile) }
    return targets.map { target in
        let name = target["name"] as? String ?? ""
        let type = target["type"] as? String ?? ""
        let dependencies = (target["dependencies"] as? [[String: Any]] ?? []).compactMap { dependency in
            (dependency["byName"] ?? dependency["product"] ?? dependency["target"]).flatMap { ($0 as? [Any])?.first as? String }
        }
        return Target(
            name: name, isExecutable: type == "executable", isSystem: type == "system",
            path: root + "/" + (target["path"] as? String ?? (type == "test" ? "Tests/" : "Sources/") + name),
            excluded: target["exclude"] as? [String] ?? [], dependencies: dependencies)
    }
}

/// The modules that a target's files import, each with the first place.
func imports(of target: Target, root: String) throws -> [String: String] {
    let pattern =
        #/^\s*(?:@\w+(?:\([^)]*\))?\s+|(?:public|package|internal|fileprivate|private)\s+)*import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias|actor)\s+)?(\w+)/#
    var found: [String: String] = [:]
    let files = FileManager.default.enumerator(atPath: target.path)?.compactMap { $0 as? String }.sorted() ?? []
    for file in files where file.hasSuffix(".swift") {
        guard !target.excluded.contains(where: { file == $0 || file.hasPrefix($0 + "/") }) else { continue }
        let text = try String(contentsOfFile: target.path + "/" + file, encoding: .utf8)
        var isInLiteral = false
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            // Other languages' imports stand in literals of several lines.
            if (line.components(separatedBy: "\"\"\"").count - 1) % 2 == 1 { isInLiteral.toggle() }
            guard !isInLiteral, line.contains("import ") else { continue }
            guard let module = line.firstMatch(of: pattern)?.1, found[String(module)] == nil else { continue }
            found[String(module)] = "\(target.path.dropFirst(root.count + 1))/\(file):\(number + 1)"
        }
    }
    return found
}

/// The package that has a module, among those in the repository and those fetched for the build.
func package(of module: String, root: String) -> String? {
    for folder in [root + "/Packages", root + "/.build/checkouts"] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder))?.sorted() ?? []
        if let name = names.first(where: { FileManager.default.fileExists(atPath: "\(folder)/\($0)/Sources/\(module)") }) {
            return name
        }
    }
    return nil
}

let root = CommandLine.arguments.count > 1 ? CommandLine.arguments[1] : FileManager.default.currentDirectoryPath
let all = try targets(root)
let own = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
var complaints: [String] = []
for target in all where !target.isSystem {
    let imported = try imports(of: target, root: root)
    let isSwift =
        FileManager.default.enumerator(atPath: target.path)?.contains { ($0 as? String)?.hasSuffix(".swift") == true } ?? false
    guard isSwift else { continue }
    for (module, place) in imported.sorted(by: { $0.key < $1.key })
    where !toolchain.contains(module) && module != target.name && !target.dependencies.contains(module) {
        let line =
            own[module] != nil
            ? "\"\(module)\"" : ".product(name: \"\(module)\", package: \"\(package(of: module, root: root) ?? "…")\")"
        complaints.append("\(root)/Package.swift: target '\(target.name)' imports \(module) (\(place)) undeclared; add \(line)")
    }
    // An executable is a dependency of the tests that run it.
    for name in target.dependencies where imported[name] == nil && own[name]?.isExecutable != true {
        complaints.append(
            "\(root)/Package.swift: target '\(target.name)' declares \(name), which none of its files imports; remove it")
    }
}
for complaint in complaints { print(complaint) }
exit(complaints.isEmpty ? 0 : 1)
