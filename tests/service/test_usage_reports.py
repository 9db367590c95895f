from door import Door, event, report


def test_a_report_is_answered_with_a_receipt_that_has_one_result_for_each_event(door: Door):
    sent = report(
        [
            event("a", image_count=3),
            event("b", model="nobody-knows"),
            event("c", image_count=0),
            event("a", image_count=3),
        ]
    )
    response = door.post(sent)
    print(response.text, response.headers)
    again = door.post(sent)
    print(again.text, again.headers)
    print(door.get("/v1/usage").text, door.client.get("/readyz").text)
    assert 0
