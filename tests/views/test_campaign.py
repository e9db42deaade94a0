"""The page of a campaign."""

from dptoolkit.inference import Campaign
from dptoolkit.views.campaign import campaign_report
from tests.inference.test_campaign import gaussian


def test_a_page_has_a_line_and_a_histogram_for_every_parameter():
    page = campaign_report(Campaign([gaussian(seed) for seed in range(50)]), {"detector": "decay"})
    assert page.count("50 toys") == 1 and "68.3 ± 6.6 expected" in page
    assert "b[0]" in page and "mean" in page and "width" in page
