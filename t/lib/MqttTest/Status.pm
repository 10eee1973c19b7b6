package MqttTest::Status;

# Copyright (C) ngx_mqtt_module authors

# Client status events.
#
#     @events = status_events($t, $topic, $count)
#                  waits until there are so many, then reads on to the end;
#                  each is the JSON, decoded, with the header as "tag"
#     @faults = status_faults(@events)
#                  what no sequence of events may have: a connection that is
#                  told twice, or differently
#     @faults = status_disorder(@events)
#                  client ids whose connections are not told one after another
#     $events = status_of($event_type, @events)
#                  those of one type: lists by client id

use warnings;
use strict;

use Exporter qw/ import /;

use JSON::PP ();

our @EXPORT = qw/ status_events status_faults status_disorder status_of /;


sub status_events {
    my ($t, $topic, $count, $timeout) = @_;

    return map {
        my $event = JSON::PP->new->utf8->decode($_->{payload});

        $event->{tag} = $_->{headers}[0][1];
        $event->{key} = $_->{key};

        $event;
    } $t->kafka->records($topic, count => $count, timeout => $timeout // 20);
}


sub status_faults {
    my (@events) = @_;

    my (%channels, @faults);

    for my $e (@events) {
        my $what = "$e->{eventType} of $e->{clientId}";
        my $channel = $channels{$e->{channelId}} ||= { of => $e };

        push @faults, "$what twice" if $channel->{$e->{eventType}}++;
        push @faults, "$what has the header $e->{tag}"
            if $e->{tag} ne $e->{eventType};

        for (qw/ clientId clientIp epoch username node key /) {
            push @faults, "$what: $_ is $e->{$_}, not $channel->{of}{$_}"
                if $e->{$_} ne $channel->{of}{$_};
        }
    }

    return @faults;
}


sub status_disorder {
    my (@events) = @_;

    my (%last, %wrong);

    for my $e (@events) {
        my $last = $last{$e->{clientId}} || { epoch => 0, eventType => '' };

        $wrong{$e->{clientId}}++
            if $e->{epoch} < $last->{epoch}
               || $e->{epoch} > $last->{epoch}
                  && $e->{eventType} ne 'connect'
               || $e->{epoch} == $last->{epoch}
                  && $e->{eventType} eq 'connect';

        $last{$e->{clientId}} = $e;
    }

    return sort keys %wrong;
}


sub status_of {
    my ($type, @events) = @_;

    my %of;

    push @{ $of{$_->{clientId}} }, $_ for grep { $_->{eventType} eq $type }
                                          @events;

    return \%of;
}


1;
