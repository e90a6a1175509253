"""From a page to its text.

`sandbox` (a child process with hard limits) runs `pages` (one page to a finished text). Main content: `thinning`
leaves out of the source what nobody reads, `markup` and `blocks` cut serialised HTML into measured blocks
(`scanning` has the compiled steps of both), `block_features` and `content` choose among them, `rendering` and
`inline` write them as text or Markdown, `data_tables` and `formulas` see to tables and formulas, `normalising`
settles characters.
"""
