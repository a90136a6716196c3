"""ApplicationService: a software service on the internet, known by its names and networks, such as Office365.

Journey: rules name it as a criterion of its own. The predefined ones hold the domains that the vendors are known by; a file
that defines one of the same name replaces it, with the networks and names that the vendor publishes at that time.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from zcc.fields import Settings
from zcc.policy.criteria import Destination
from zcc.policy.objects.name import Description, ObjectName

__all__ = ["PREDEFINED_APPLICATION_SERVICES", "ApplicationService"]


class ApplicationService(Settings):
    """Where a software service is reached: any of these."""

    name: ObjectName
    description: Description = ""
    destinations: Annotated[tuple[Destination, ...], Field(min_length=1)]


_DOMAINS = {
    "Office365": "office.com office365.com outlook.com microsoftonline.com sharepoint.com onedrive.com lync.com "
                 "skype.com teams.microsoft.com office.net msocdn.com",
    "Zoom": "zoom.us zoom.com zoomgov.com",
    "Webex": "webex.com wbx2.com ciscospark.com webexcontent.com",
    "RingCentral": "ringcentral.com ringcentral.biz",
    "LogMeIn": "logmein.com logmeininc.com logmeinrescue.com gotomeeting.com goto.com gotomypc.com",
    "BlueJeans": "bluejeans.com bluejeansnet.com",
    "AWS": "amazonaws.com aws.amazon.com cloudfront.net awsstatic.com",
    "Azure": "azure.com azure.net windows.net azurewebsites.net azureedge.net cloudapp.net",
    "GCP": "googleapis.com cloud.google.com gcr.io run.app appspot.com",
    "Zscaler Cloud Endpoints": "zscaler.com zscaler.net zscalerone.net zscalertwo.net zscalerthree.net zscalerbeta.net "
                               "zscalergov.net zscloud.net zpath.net zpagov.net zpabeta.net",
    "Talk_Desk": "talkdesk.com talkdeskapp.com talkdeskid.com",
}  # fmt: skip

PREDEFINED_APPLICATION_SERVICES: tuple[ApplicationService, ...] = tuple(
    ApplicationService(name=name, destinations=tuple(
        pattern for domain in domains.split() for pattern in (domain, f"*.{domain}")))
    for name, domains in _DOMAINS.items()
)  # fmt: skip
