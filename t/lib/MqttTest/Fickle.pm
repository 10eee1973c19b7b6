package MqttTest::Fickle;

# Copyright (C) ngx_mqtt_module authors

# Persistent sessions that change their mind, for t/tools/soak: they subscribe,
# unsubscribe and subscribe again, acknowledge late or not at all, come back
# with another Receive Maximum, take themselves over, end and begin anew, while
# a publisher numbers its messages.
#
#     my $result = MqttTest::Fickle->new(
#         name    => 'fickle.1',
#         connect => sub { my ($node, %args) = @_ },   a client, or undef
#         nodes   => 2,
#         running => sub { },                          false: come to the end
#     )->run;
#
# Two sessions share a publisher.  What it is known of each message is whether
# it must come: it has been acknowledged, and a subscription that it matches
# was there before it was sent and is there still.  Once in a while everything
# is acknowledged, and all that must come is waited for.
#
# A subscription is made at the node of the publisher, as others hear of it a
# moment later; connections that only resume the session may be at any.
#
# "on_wrong", a function, is called for each thing that must not be.
#
# $result: steps, published, connects, changes; "wrong", texts of what must not
# be, each with what the session did last; "twice", messages that came twice
# with QoS 2, which a worker that is killed may cause.

use warnings;
use strict;

use List::Util qw/ first shuffle uniq /;
use Time::HiRes ();

use MqttTest::Util qw/ now slow /;

use constant { WINDOW => 8, HISTORY => 120, WRONG => 10 };


# topic => QoS of the publisher; a job comes by shared subscriptions only, so
# that it is known which way it takes

my %TOPICS = (
    'a'      => 2, 'b'     => 1, 'own/0' => 2, 'own/1' => 1,
    'job/1'  => 1, 'job/2' => 2, 'jobs/0' => 2, 'jobs/1' => 1,
);


sub new {
    my ($class, %args) = @_;

    my $self = bless {
        flight   => [],
        messages => [],
        wrong    => [],
        twice    => [],
        next     => {},
        packet   => 0,
        steps    => 0,
        changes  => 0,
        connects => 0,
        %args,
    }, $class;

    my ($number) = $self->{name} =~ /(\d+)$/;

    $self->{root} = "fickle/$number";
    $self->{home} = $number % $self->{nodes};
    $self->{sessions} = [ map { {
        id      => "$self->{name}-$_",
        number  => $_,
        version => $_ && $number % 2 ? 4 : 5,
        filters => {},
        open    => {},
        acks    => [],
        past    => [],
        last    => {},
        back    => 0,
        lives   => 0,
    } } 0, 1 ];

    return $self;
}


sub run {
    my ($self) = @_;

    my $check = now() + 5;

    while ($self->{running}->()) {
        $self->tend;
        $self->publish;

        for my $s (@{ $self->{sessions} }) {
            $self->step($s) if rand() < 0.15;
        }

        if (now() > $check) {
            $self->check;
            $check = now() + 3 + rand 4;
        }

        select undef, undef, undef, 0.003;
    }

    $self->check;
    $self->finish;

    return { map { $_ => $self->{$_} }
             qw/ steps changes published connects wrong twice / };
}


sub client_ids {
    my ($self) = @_;

    return ("$self->{name}-pub", map { $_->{id} } @{ $self->{sessions} });
}


###############################################################################
# the publisher: what was not acknowledged is sent again, in its session


sub publish {
    my ($self) = @_;

    return if !$self->{publisher} || rand() < 0.8;

    my $topic = (sort keys %TOPICS)[rand keys %TOPICS];

    for (1 .. 1 + int rand 6) {
        last if @{ $self->{flight} } >= WINDOW;

        $self->{packet} = $self->{packet} % 65535 + 1;

        my $m = {
            topic => $topic, qos => $TOPICS{$topic},
            n     => $self->{next}{$topic}++ // 0,
            id    => $self->{packet},
        };

        $m->{need}{ $self->receiver($_, $topic) }{"$_->[0]{id} $_->[1]"} = 1
            for $self->matching($topic);

        push @{ $self->{flight} }, $m;
        push @{ $self->{messages} }, $m;
        $self->{by}{"$topic $m->{n}"} = $m;
        $self->{published}++;

        $self->send_message($m, 0);
    }
}


sub send_message {
    my ($self, $m, $dup) = @_;

    $self->{publisher}->queue(PUBLISH =>
        topic => $self->topic($m->{topic}), payload => $m->{n},
        qos   => $m->{qos}, packet_id => $m->{id}, dup => $dup);
}


sub tend_publisher {
    my ($self) = @_;

    my $c = $self->{publisher};

    if (!$c || $c->{eof}) {
        $c->close if $c;

        $c = $self->{publisher} = $self->{connect}->(
            $self->{home}, version => 5, client_id => "$self->{name}-pub",
            clean => 0, props => [ [ session_expiry => 86400 ] ]) or return;

        my $resumed = $c->connack->{session_present};

        for my $m (@{ $self->{flight} }) {
            $m->{rel} && $resumed ? $c->queue(PUBREL => packet_id => $m->{id})
                                  : $self->send_message($m, $resumed);
        }
    }

    $c->drain;
    $c->fill;

    for my $p ($c->cut_all) {
        my $m = first { $_->{id} == ($p->{packet_id} // 0) }
                @{ $self->{flight} } or next;

        if ($p->{type} eq 'PUBREC') {
            $m->{rel} = 1;
            $c->queue(PUBREL => packet_id => $m->{id});

        } elsif ($p->{type} =~ /^PUB(?:ACK|COMP)$/) {
            $m->{acked} = 1;
            $self->{flight} = [ grep { $_ != $m } @{ $self->{flight} } ];
        }
    }
}


###############################################################################
# what must come: $m->{need}{receiver}{"session filter"}, where a receiver is a
# session, or both of them for a shared subscription


sub topic {
    my ($self, $topic) = @_;

    return $self->{root} . ($topic =~ /^job/ ? '-' : '/') . $topic;
}


sub matching {
    my ($self, $topic) = @_;

    my @matching;

    for my $s (@{ $self->{sessions} }) {
        push @matching, map { [ $s, $_ ] }
            grep { $s->{filters}{$_} && $self->matches($_, $topic) }
            keys %{ $s->{filters} };
    }

    return @matching;
}


sub matches {
    my ($self, $filter, $topic) = @_;

    my ($pattern) = $filter =~ m{^(?:\$share/[^/]+/)?(.*)$};

    $pattern = quotemeta $pattern;
    $pattern =~ s{\\\+}{[^/]+}g;
    $pattern =~ s{\\/\\\#$}{(?:/.*)?};

    return $self->topic($topic) =~ /^$pattern$/;
}


sub receiver {
    my ($self, $pair, $topic) = @_;

    return $topic =~ /^job/ ? 'any' : $pair->[0]{id};
}


# a subscription is, or may be, there no more

sub off {
    my ($self, $s, @filters) = @_;

    for my $filter (@filters) {
        delete $s->{filters}{$filter};

        for my $m (@{ $self->{messages} }) {
            for my $receiver (keys %{ $m->{need} }) {
                delete $m->{need}{$receiver}{"$s->{id} $filter"};
                delete $m->{need}{$receiver}
                    if !%{ $m->{need}{$receiver} };
            }
        }
    }
}


# The session has ended, or may have: a QoS 2 message of a shared subscription
# may have been its own, 4.8.2.

sub gone {
    my ($self, $s) = @_;

    $self->off($s, keys %{ $s->{filters} });

    for my $m (@{ $self->{messages} }) {
        delete $m->{need}{any} if $m->{qos} == 2;
    }
}


sub missing {
    my ($self) = @_;

    my @missing;

    for my $m (@{ $self->{messages} }) {
        push @missing, map { "$m->{topic} $m->{n} for $_" }
                       grep { !$m->{seen}{$_} } keys %{ $m->{need} };
    }

    return @missing;
}


sub check {
    my ($self) = @_;

    my $end = now() + slow(25);

    $_->{hold} = 0 for @{ $self->{sessions} };

    while (@{ $self->{flight} } || $self->missing) {

        if (now() > $end) {
            $self->wrong($_, 'missing: ' . join ', ', $self->missing)
                for @{ $self->{sessions} };
            last;
        }

        $self->tend;
        select undef, undef, undef, 0.005;
    }

    $self->{messages} = [ @{ $self->{flight} } ];
}


sub wrong {
    my ($self, $s, $what) = @_;

    $self->{on_wrong}->() if $self->{on_wrong};
    return if @{ $self->{wrong} } >= WRONG;

    push @{ $self->{wrong} },
         join "\n    ", "$s->{id}: $what", @{ $s->{past} };
}


sub past {
    my ($self, $s, $what) = @_;

    push @{ $s->{past} }, sprintf '%.3f %s', Time::HiRes::time(), $what;
    shift @{ $s->{past} } if @{ $s->{past} } > HISTORY;
}


###############################################################################
# the sessions


sub tend {
    my ($self) = @_;

    $self->tend_publisher;

    for my $s (@{ $self->{sessions} }) {
        my $c = $s->{c};

        if (!$c || $c->{eof}) {
            $self->past($s, 'closed') if $c;
            $self->resume($s) if now() > $s->{back};
            next;
        }

        $c->drain;
        $c->fill;
        $self->packet($s, $_) for $c->cut_all;
        $self->acknowledge($s) if !$s->{hold};
    }
}


# connects, also while connected: the session is taken over

sub resume {
    my ($self, $s, %how) = @_;

    my $node = $how{home} ? $self->{home} : int rand $self->{nodes};
    my $max = $how{max} // (rand() < 0.5 ? 0 : 1 + int rand 10);
    my $old = $s->{c};

    # it may have ended even if there is no CONNACK

    if ($how{clean}) {
        $self->gone($s);
        $s->{lives} = undef;
    }

    my $before = now();
    my $c = $self->{connect}->($node,
        version => $s->{version}, client_id => $s->{id},
        clean   => $how{clean} ? 1 : 0,
        $s->{version} == 5
        ? (props => [ [ session_expiry => 86400 ],
                      $max ? [ receive_maximum => $max ] : () ])
        : ());

    $old->close if $old;
    delete @$s{qw/ c pending flight /};
    $s->{acks} = [];

    if (!$c) {
        $self->past($s, 'no connection');
        $s->{lives} = undef if defined $s->{lives} && !$s->{lives};
        return;
    }

    my $present = $c->connack->{session_present};

    $self->past($s, "connected to $node, present $present"
                    . ($how{clean} ? ', clean' : '')
                    . ($max ? ", receive maximum $max" : ''));

    $self->wrong($s, 'session is not there')
        if !$present && !$how{clean} && $s->{lives}
           && !($s->{ends} && now() > $s->{ends});
    $self->wrong($s, 'session is there')
        if $present && ($how{clean} || defined $s->{lives} && !$s->{lives});

    if (!$present) {
        $self->gone($s);
        $s->{open} = {};
    }

    $s->{c} = $c;
    $s->{node} = $node;
    $s->{max} = $s->{version} == 5 ? $max : 0;
    $s->{lives} = 1;
    $s->{ends} = 0;
    $self->{connects}++;

    # before MQTT 5 such a session ends with its connection

    if ($how{clean} && $s->{version} < 5) {
        $s->{lives} = 0;
        $self->resume($s);
    }
}


sub packet {
    my ($self, $s, $p) = @_;

    my $type = $p->{type};

    if ($type eq 'SUBACK' || $type eq 'UNSUBACK') {
        my $pending = delete $s->{pending};

        $self->past($s, $type);

        if ($type eq 'SUBACK') {
            my @codes = @{ $p->{codes} };

            for my $filter (@{ $pending->{filters} }) {
                my $qos = shift @codes;

                $s->{filters}{$filter} = 1 if $qos && $qos < 0x80;
            }
        }

    } elsif ($type eq 'PUBREL') {
        delete $s->{open}{ $p->{packet_id} };
        push @{ $s->{acks} }, $p;

    } elsif ($type eq 'PUBLISH') {
        $self->message($s, $p);
    }
}


sub message {
    my ($self, $s, $p) = @_;

    my ($topic) = $p->{topic} =~ m{^\Q$self->{root}\E[-/](.*)$};
    my $name = "$topic $p->{payload}";
    my $m = $self->{by}{$name};

    $self->past($s, "$name qos $p->{qos} id " . ($p->{packet_id} // '')
                    . ($p->{dup} ? ' dup' : ''));

    if ($p->{qos}) {
        push @{ $s->{acks} }, $p;

        $s->{flight}{ $p->{packet_id} } = 1;
        $self->wrong($s, 'more than its receive maximum')
            if $s->{max} && keys %{ $s->{flight} } > $s->{max};
    }

    # the same message again, not another copy

    if ($p->{qos} == 2) {
        my $open = $s->{open}{ $p->{packet_id} };

        $s->{open}{ $p->{packet_id} } = $name;
        $self->wrong($s, "$name has the packet id of $open")
            if defined $open && $open ne $name;
        return if defined $open;
    }

    my $receiver = $topic =~ /^job/ ? 'any' : $s->{id};

    if ($p->{qos} == 2 && $m->{"exact $receiver"}++) {
        $self->{on_wrong}->() if $self->{on_wrong};
        push @{ $self->{twice} },
             join "\n    ", "$s->{id}: $name", @{ $s->{past} }
            if @{ $self->{twice} } < WRONG && $receiver ne 'any';
    }

    if (!$m->{seen}{$receiver}++ && $receiver ne 'any') {
        $self->wrong($s, "$name after $s->{last}{$topic}")
            if $p->{payload} < ($s->{last}{$topic} // 0);

        $s->{last}{$topic} = $p->{payload}
            if $p->{payload} > ($s->{last}{$topic} // -1);
    }
}


sub acknowledge {
    my ($self, $s, $n) = @_;

    my $c = $s->{c};
    my $acks = $s->{acks};

    for my $p (splice @$acks, 0, $n // scalar @$acks) {
        delete $s->{flight}{ $p->{packet_id} }
            if $p->{type} eq 'PUBREL' || $p->{qos} == 1;
        $c->acknowledge($p);
    }

    $c->drain;
}


###############################################################################
# what a session does


sub step {
    my ($self, $s) = @_;

    my $c = $s->{c};

    return if !$c || $c->{eof};

    my $what = rand;

    $self->{steps}++;

    $what < 0.40 ? $self->change($s)
    : $what < 0.50 ? $self->hold($s)
    : $what < 0.60 ? $self->acknowledge($s, 1 + int rand @{ $s->{acks} })
    : $what < 0.64 ? $self->out_of_order($s)
    : $what < 0.80 ? $self->resume($s)
    : $what < 0.98 ? $self->leave($s)
    : $self->resume($s, clean => 1);
}


sub hold {
    my ($self, $s) = @_;

    $s->{hold} = !$s->{hold};
    $self->past($s, $s->{hold} ? 'holds' : 'acknowledges');
}


sub out_of_order {
    my ($self, $s) = @_;

    @{ $s->{acks} } = shuffle(@{ $s->{acks} });
    $self->acknowledge($s, 1 + int rand @{ $s->{acks} });
}


sub change {
    my ($self, $s) = @_;

    return if $s->{pending};
    return $self->resume($s, home => 1) if $s->{node} != $self->{home};

    my $c = $s->{c};
    my $root = $self->{root};
    my @filters = (shuffle("$root/a", "$root/b", "$root/+", "$root/#",
                           ("$root/own/$s->{number}") x 3, "$root/own/+",
                           ("\$share/crew/$root-job/+") x 2,
                           "\$share/solo/$root-jobs/$s->{number}",
                          ))[0 .. rand 2];
    my $id = $c->next_id;

    @filters = uniq(@filters);
    $self->{changes}++;

    if (rand() < 0.5) {
        $self->past($s, "UNSUBSCRIBE @filters");
        $self->off($s, @filters);
        $c->queue(UNSUBSCRIBE => packet_id => $id, filters => \@filters);

    } else {

        # of a job that a member with QoS 0 is given nobody knows what became

        my @pairs = map {
            [ $_, !/crew/ && rand() < 0.05 ? 0 : 1 + int rand 2 ]
        } @filters;

        $self->past($s, 'SUBSCRIBE ' . join ' ', map { "@$_" } @pairs);
        $self->off($s, map { $_->[1] == 0 ? $_->[0] : () } @pairs);
        $c->queue(SUBSCRIBE => packet_id => $id, filters => \@pairs);
    }

    $s->{pending} = { filters => \@filters };
    $c->drain;
}


# how long it stays away may decide whether it is there afterwards

sub leave {
    my ($self, $s) = @_;

    my $c = $s->{c};
    my $how = ('abort', 'close', 'disconnect')[rand 3];
    my $expiry;

    if ($how ne 'disconnect') {
        $c->$how;

    } elsif ($s->{version} == 5 && rand() < 0.5) {
        $expiry = (3600, 3600, 1, 0)[rand 4];
        $s->{ends} = now() + $expiry;
        $s->{lives} = undef if $expiry == 0;

        eval { $c->disconnect(props => [ [ session_expiry => $expiry ] ]) };

    } else {
        eval { $c->disconnect };
    }

    $self->past($s, $how . (defined $expiry ? " expiry $expiry" : ''));

    $c->close;
    delete $s->{c};
    $s->{back} = now() + (rand() < 0.8 ? 0 : rand 2);
}


# the sessions end, in the end

sub finish {
    my ($self) = @_;

    for my $s (@{ $self->{sessions} }) {
        my $end = now() + slow(10);

        # packet ids of QoS 2 are released

        while (%{ $s->{open} } && now() < $end) {
            $self->tend;
            select undef, undef, undef, 0.01;
        }

        $self->wrong($s, 'not released: ' . join ', ', values %{ $s->{open} })
            if %{ $s->{open} };
        $s->{c}->close if $s->{c};
        $s->{back} = now() + 1000;
    }

    $self->{publisher}->close if $self->{publisher};
}


1;
