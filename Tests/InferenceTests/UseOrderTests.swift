import Testing

@testable import Inference

@Suite struct UseOrderTests {
    @Test func `what is left keeps its order, whichever of it is taken out`() {
        var order = UseOrder()
        for number in [4, 7, 1, 9] { order.append(number) }
        order.remove(7)
        order.remove(7)
        #expect(order.all == [4, 1, 9] && order.oldest == 4 && !order.contains(7))
        order.remove(4)
        order.remove(9)
        order.append(4)
        #expect(order.all == [1, 4] && order.oldest == 1)
        order.remove(1)
        order.remove(4)
        #expect(order.all.isEmpty && order.oldest == nil)
    }
}
