"""What a finished parse holds: pages, items, metadata, forms, files, in strictly typed answers."""

import csv
import io
import uuid

import httpx
import llama_cloud
import pytest
from llama_calls import HEADERS, markdown, parsed, submitted, switch, tell, until_idle, uploaded
from llama_cloud import AsyncLlamaCloud
from pdfs import pdf as pdf_of

DOCUMENT = """# Wheat

Grain of **all** kinds, see [the mill](https://mill.example).

| kind | tonnes |
| --- | --- |
| rye | 12.5 |
| oats, rolled | |

- first
- second
  - deeper

1. one
2. two

```python
print("grain")
```

[The mill](https://mill.example/)

![A sack](sack.png)"""


async def items_of(llama: AsyncLlamaCloud) -> list:
    got = await parsed(llama, "notes.md", markdown(DOCUMENT), ["items"])
    return got.items.pages[0].items


async def test_a_pdf_is_really_parsed_page_by_page(llama: AsyncLlamaCloud, pdf: bytes):
    expand = ["markdown", "text", "items", "metadata", "usage", "job_metadata", "text_full"]
    got = await parsed(llama, "grain.pdf", pdf, expand)
    assert got.job.status == "COMPLETED"
    assert [page.page_number for page in got.markdown.pages] == [1, 2, 3]
    assert "wheat" in got.markdown.pages[0].markdown
    assert got.markdown.pages[1].markdown.strip() == ""
    assert "wheat" in got.text.pages[0].text
    assert "rye" in got.text_full
    assert len(got.items.pages) == len(got.metadata.pages) == 3


async def test_page_sizes_are_in_points(llama: AsyncLlamaCloud):
    got = await parsed(llama, "a4.pdf", pdf_of(f"Wheat {uuid.uuid4()}"), ["items"])
    page = got.items.pages[0]
    assert (round(page.page_width), round(page.page_height)) == (595, 842)


async def test_headings_have_their_level(llama: AsyncLlamaCloud):
    heading = next(item for item in await items_of(llama) if item.type == "heading")
    assert (heading.level, heading.value, heading.md) == (1, "Wheat", "# Wheat")


async def test_the_value_of_a_text_has_no_marks(llama, control):
    del control  # a real parser has words of its own
    text = next(item for item in await items_of(llama) if item.type == "text")
    assert text.value == "Grain of all kinds, see the mill."
    assert "**all**" in text.md


async def test_a_table_comes_as_rows_markdown_html_and_csv(llama, control):
    del control  # a real parser has words of its own
    table = next(item for item in await items_of(llama) if item.type == "table")
    assert table.rows == [["kind", "tonnes"], ["rye", 12.5], ["oats, rolled", None]]
    assert list(csv.reader(io.StringIO(table.csv)))[2] == ["oats, rolled", ""]
    assert "<td>rye</td>" in table.html
    assert table.md.startswith("| kind |")


async def test_lists_nest_and_know_whether_they_are_ordered(llama, control):
    del control  # a real parser has words of its own
    bullets, numbers = [item for item in await items_of(llama) if item.type == "list"]
    assert (bullets.ordered, numbers.ordered) == (False, True)
    assert [entry.type for entry in bullets.items] == ["text", "text", "list"]
    assert bullets.items[2].items[0].value == "deeper"


async def test_code_links_and_images_are_items_of_their_own(llama, control):
    del control  # a real parser has words of its own
    by_type = {item.type: item for item in await items_of(llama)}
    assert (by_type["code"].language, by_type["code"].value) == ("python", 'print("grain")')
    assert (by_type["link"].text, by_type["link"].url) == ("The mill", "https://mill.example/")
    assert (by_type["image"].caption, by_type["image"].url) == ("A sack", "sack.png")


@pytest.mark.parametrize(
    ("ranges", "numbers"),
    [
        ({"target_pages": "1,3"}, [1, 3]),
        ({"target_pages": "2-3"}, [2, 3]),
        ({"max_pages": 1}, [1]),
        ({"max_pages": 1, "target_pages": "3"}, [3]),
        ({"max_pages": 50}, [1, 2, 3]),
    ],
)
async def test_only_the_wanted_pages_are_parsed(llama, pdf, ranges, numbers):
    got = await parsed(llama, "a.pdf", pdf, ["text"], page_ranges=ranges)
    assert [page.page_number for page in got.text.pages] == numbers


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("broken.pdf", b"%PDF-1.7 and then nothing", "PDF_IS_BROKEN"),
        ("locked.pdf", pdf_of("secret", password="mill"), "PDF_IS_PROTECTED"),
        ("empty.pdf", b"", "NO_DATA_FOUND_IN_FILE"),
        ("notes.txt", b"plain text", "UNSUPPORTED_FILE_TYPE"),
        ("broken.docx", b"PK\x03\x04 no archive", "PDF_IS_BROKEN"),
    ],
)
async def test_a_file_that_cannot_be_read_fails_with_the_vendors_code(llama, name, content, code):
    got = await parsed(llama, name, content, ["text"])
    assert got.job.status == "FAILED"
    assert code in got.job.error_message
    assert got.text is None


async def test_a_failure_may_come_without_its_code(llama, control):
    await switch(control, error_code_in_message=False)
    got = await parsed(llama, "notes.txt", b"plain text")
    assert "UNSUPPORTED" not in got.job.error_message


async def test_the_fast_tier_has_no_markdown(llama: AsyncLlamaCloud):
    job_id = await submitted(llama, "a.md", markdown(), tier="fast")
    for key in ("markdown", "items", "markdown_content_metadata"):
        with pytest.raises(llama_cloud.BadRequestError, match="fast"):
            await llama.parsing.get(job_id, expand=[key])


async def test_an_unknown_expand_value_is_refused(llama: AsyncLlamaCloud):
    job_id = await submitted(llama, "a.md", markdown())
    with pytest.raises(llama_cloud.BadRequestError):
        await llama.parsing.get(job_id, expand=["everything"])


async def test_expand_may_be_repeated_or_joined_by_commas(llama, http: httpx.AsyncClient, pdf):
    got = await parsed(llama, "a.pdf", pdf, ["text_full", "usage"])
    path = f"/llamacloud/api/v2/parse/{got.job.id}"
    answer = await http.get(path, params={"expand": "text_full,usage"}, headers=HEADERS)
    assert answer.json()["text_full"] == got.text_full
    assert answer.json()["job"]["usage"] == {"credits": 9.0}


async def test_contents_are_null_while_the_job_runs(llama, control):
    await tell(control, transition={"kind": "seconds", "value": 60})
    job_id = await submitted(llama, "a.md", markdown())
    await until_idle(control)
    expand = ["markdown", "items", "metadata", "forms", "images_content_metadata"]
    got = await llama.parsing.get(job_id, expand=[*expand, "text_content_metadata"])
    assert [getattr(got, key) for key in expand] == [None] * len(expand)
    assert got.result_content_metadata is None


async def test_a_failed_page_is_an_entry_with_its_error(llama, control, pdf):
    await switch(control, scripts=[{"files": "half*", "failed_pages": [2]}])
    conditions = {"job_failure_conditions": {"allowed_page_failure_ratio": 0.5}}
    got = await parsed(
        llama, "half.pdf", pdf, ["markdown", "items", "text"], processing_control=conditions
    )
    assert got.job.status == "COMPLETED"
    assert [page.success for page in got.markdown.pages] == [True, False, True]
    assert got.markdown.pages[1].error
    assert not hasattr(got.markdown.pages[1], "markdown")
    assert got.items.pages[1].success is False
    assert [page.page_number for page in got.text.pages] == [1, 3]


async def test_more_failed_pages_than_allowed_fail_the_job(llama, control, pdf):
    await switch(control, scripts=[{"files": "*", "failed_pages": [2]}])
    got = await parsed(llama, "a.pdf", pdf)
    assert got.job.status == "FAILED"
    assert "1 of 3 pages" in got.job.error_message


async def test_one_failed_page_fails_the_job_when_it_says_so(llama, control, pdf):
    await switch(control, scripts=[{"files": "*", "failed_pages": [2]}])
    conditions = {"allowed_page_failure_ratio": 1, "fail_on_markdown_reconstruction_error": True}
    control_ = {"job_failure_conditions": conditions}
    got = await parsed(llama, "a.pdf", pdf, processing_control=control_)
    assert got.job.status == "FAILED"


async def test_a_completed_job_may_have_no_words_at_all(llama, control):
    await switch(control, scripts=[{"files": "*", "empty_pages": [1]}])
    got = await parsed(llama, "a.md", markdown("wheat"), ["markdown", "text", "items"])
    assert got.job.status == "COMPLETED"
    assert (got.markdown.pages[0].markdown, got.text.pages[0].text) == ("", "")
    assert got.items.pages[0].items == []


async def test_a_page_keeps_64_kilobytes_of_text(llama: AsyncLlamaCloud):
    got = await parsed(llama, "long.md", markdown("grain " * 20_000), ["markdown_full"])
    assert len(got.markdown_full.encode()) <= 65_536


async def test_a_careful_parse_scores_pages_and_document(llama: AsyncLlamaCloud):
    options = {"confidence_score_effort": "high"}
    got = await parsed(
        llama, "a.md", markdown("wheat"), ["metadata"], tier="agentic", processing_options=options
    )
    assert 0 <= got.metadata.pages[0].confidence <= 1
    assert 0 <= got.metadata.document.confidence <= 1
    assert got.metadata.document.confidence_breakdown.total_pages == 1


async def test_the_printed_page_number_is_told_when_asked_for(llama, control):
    del control  # a real parser has words of its own
    content = pdf_of("Wheat and rye\n\n\nPage 7 of 9")
    options = {"extract_printed_page_number": True}
    got = await parsed(llama, "a.pdf", content, ["metadata"], output_options=options)
    assert got.metadata.pages[0].printed_page_number == "Page 7 of 9"


async def test_forms_are_told_when_the_job_was_to_enrich_them(llama, control):
    del control  # a real parser has words of its own
    content = markdown("# Order", "", "Name: ________", "", "[x] by post", "", "Thank you")
    options = {"processing_options": {"forms": "enrich"}, "tier": "agentic"}
    got = await parsed(llama, "order.md", content, ["forms"], **options)
    form = got.forms.pages[0].forms[0]
    fields = [node for node in form.json_ if node.type == "field"]
    assert [(field.field, field.label) for field in fields] == [
        ("text", "Name"),
        ("checkbox", "by post"),
    ]
    assert (fields[0].is_empty, fields[1].value) == (True, True)
    assert form.list.items[0].value == "Order"
    plain = await parsed(llama, "order.md", content, ["forms"], tier="agentic")
    assert plain.forms is None


async def test_result_files_are_downloaded_by_presigned_urls(llama, http):
    expand = ["markdown_content_metadata", "items_content_metadata", "text_full_content_metadata"]
    got = await parsed(llama, "notes.md", markdown(DOCUMENT), [*expand, "markdown_full", "items"])
    files = got.result_content_metadata
    assert set(files) == {"markdown", "items", "text_full"}
    for file in files.values():
        answer = await http.get(file.presigned_url)
        assert len(answer.content) == file.size_bytes
    text = (await http.get(files["markdown"].presigned_url)).text
    assert text == got.markdown_full
    items = (await http.get(files["items"].presigned_url)).json()
    assert len(items["pages"][0]["items"]) == len(got.items.pages[0].items)


async def test_result_files_may_have_the_names_of_the_guide(llama, control):
    await switch(control, content_names="documented")
    expand = ["markdown_content_metadata", "items_content_metadata"]
    got = await parsed(llama, "notes.md", markdown(), expand)
    assert set(got.result_content_metadata) == {"md", "json"}


async def test_tables_are_a_workbook_when_asked_for(llama, http):
    options = {"tables_as_spreadsheet": {"enable": True}}
    expand = ["xlsx_content_metadata"]
    got = await parsed(llama, "a.md", markdown(DOCUMENT), expand, output_options=options)
    workbook = (await http.get(got.result_content_metadata["xlsx"].presigned_url)).content
    again = await parsed(llama, "tables.xlsx", workbook, ["markdown_full"])
    assert "| rye | 12.5 |" in again.markdown_full
    plain = await parsed(llama, "a.md", markdown(DOCUMENT), expand)
    assert plain.result_content_metadata["xlsx"].exists is False


async def test_a_copy_of_the_pdf_is_kept_until_its_source_is_gone(llama, http, clock, pdf):
    expand = ["output_pdf_content_metadata"]
    got = await parsed(llama, "a.pdf", pdf, expand, output_options={"save_output_pdf": True})
    (file,) = got.result_content_metadata.values()
    answer = await http.get(file.presigned_url)
    assert answer.content == pdf
    clock.advance(48 * 3600 + 1)
    with pytest.raises(llama_cloud.NotFoundError):
        await llama.parsing.get(got.job.id, expand=expand)


async def test_screenshots_are_listed_filtered_and_downloaded(llama, http, pdf):
    options = {"images_to_save": ["screenshot"]}
    expand = ["images_content_metadata"]
    got = await parsed(llama, "a.pdf", pdf, expand, output_options=options)
    images = got.images_content_metadata
    assert (images.total_count, len(images.images)) == (3, 3)
    assert (await http.get(images.images[0].presigned_url)).content.startswith(b"\x89PNG")
    name = images.images[1].filename
    one = await llama.parsing.get(got.job.id, expand=expand, image_filenames=name)
    assert [image.filename for image in one.images_content_metadata.images] == [name]


async def test_stripped_text_is_a_file_when_asked_for(llama, http):
    options = {"additional_outputs": ["stripped_md", "concatenated_stripped_txt"]}
    key = "concatenated_stripped_markdown"
    expand = [f"{key}_content_metadata", "stripped_markdown_content_metadata"]
    got = await parsed(llama, "a.md", markdown(DOCUMENT), expand, output_options=options)
    text = (await http.get(got.result_content_metadata[key].presigned_url)).text
    assert "Grain of all kinds, see the mill." in text
    assert "**" not in text


async def test_a_result_that_has_expired_is_not_found_but_its_job_is(llama, control, clock):
    await switch(control, result_lifetime_seconds=3600)
    got = await parsed(llama, "a.md", markdown(), ["text"])
    clock.advance(3601)
    with pytest.raises(llama_cloud.NotFoundError, match="result"):
        await llama.parsing.get(got.job.id, expand=["text"])
    assert (await llama.parsing.get(got.job.id)).job.status == "COMPLETED"


async def test_a_result_that_is_gone_from_the_disk_is_not_found(llama, server):
    got = await parsed(llama, "a.md", markdown())
    for path in (server.simulator.folder / "llamacloud" / "results").iterdir():
        path.unlink()
    with pytest.raises(llama_cloud.NotFoundError, match="result"):
        await llama.parsing.get(got.job.id, expand=["text"])


async def test_the_parameters_of_a_job_are_read_back(llama, control):
    del control  # a real parser has words of its own
    ranges = {"max_pages": 2}
    got = await parsed(llama, "a.md", markdown(), ["raw_parameters"], page_ranges=ranges)
    assert got.raw_parameters["tier"] == "cost_effective"
    assert got.raw_parameters["page_ranges"] == ranges


async def test_the_sdks_own_helper_waits_for_the_result(llama: AsyncLlamaCloud):
    result = await llama.parsing.parse(
        file_id=await uploaded(llama, "a.md", markdown("wheat")),
        tier="agentic",
        version="latest",
        expand=["markdown_full"],
        polling_interval=0.02,
        backoff="constant",
    )
    assert "wheat" in result.markdown_full
