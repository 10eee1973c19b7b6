package MqttTest::Browser;

# Copyright (C) ngx_mqtt_module authors

# A headless Chromium, driven through chromedriver's HTTP API (WebDriver).
#
#     $b = MqttTest::Browser->new(dir => $dir)      dies without Chromium
#     MqttTest::Browser->missing                    what is not installed
#     $b->go($url)
#     $b->type($id, $text)             replaces the value of an input
#     $b->click($id)                   really: it has to be visible, enabled
#     $b->text($id)                    as it is shown
#     $b->run('return arguments[0] + 1', 2)         JavaScript in the page
#     $b->console                      messages of the console so far
#     $b->quit

use warnings;
use strict;

use HTTP::Tiny;
use JSON::PP ();

use MqttTest::Util qw/ wait_for free_port slow slurp /;


my $json = JSON::PP->new->utf8;

my @browsers;

# how WebDriver calls the id of an element

my $element_key = 'element-6066-11e4-a52e-4f735466cecf';


sub missing {
    for my $program (qw/ chromium chromedriver /) {
        return $program
            if !grep { -x "$_/$program" } split /:/, $ENV{PATH};
    }

    return;
}


sub new {
    my ($class, %args) = @_;

    my $self = bless { port => free_port(), %args }, $class;
    my $log = "$self->{dir}/chromedriver.log";

    $self->{driver} = MqttTest::Util->spawn(
        name          => 'chromedriver',
        log           => $log,
        parent_signal => 15,
        env           => { HOME => $self->{dir} },
        command       => [ 'chromedriver', "--port=$self->{port}" ],
    );

    $self->{http} = HTTP::Tiny->new(timeout => slow(60));

    wait_for {
        !$self->{driver}->alive
            || eval { $self->call(GET => '/status')->{ready} };
    } 20 or die "chromedriver did not start:\n" . slurp($log);

    my $profile = "$self->{dir}/chromium";

    mkdir $profile;

    # Chromium ends when the pipe to chromedriver is closed

    my $session = $self->call(POST => '/session', {
        capabilities => { alwaysMatch => {
            'goog:loggingPrefs'  => { browser => 'ALL' },
            'goog:chromeOptions' => { args => [ qw/
                --headless --no-sandbox --disable-gpu --disable-quic
                --no-first-run --disable-background-networking
                --disable-component-update --disable-sync
                --disable-dev-shm-usage --remote-debugging-pipe
                /, "--user-data-dir=$profile" ] },
        } },
    });

    $self->{session} = "/session/$session->{sessionId}";

    push @browsers, $self;

    return $self;
}


sub call {
    my ($self, $method, $path, $body) = @_;

    my $response = $self->{http}->request($method,
        "http://127.0.0.1:$self->{port}$path",
        $method eq 'POST'
        ? { headers => { 'Content-Type' => 'application/json' },
            content => $json->encode($body // {}) } : {});

    my $value = eval { $json->decode($response->{content})->{value} };

    die "WebDriver: $method $path: $response->{status} "
        . (ref $value eq 'HASH' ? "$value->{error}: $value->{message}"
                                : $response->{content}) . "\n"
        if !$response->{success};

    return $value;
}


sub command {
    my ($self, $path, %body) = @_;

    return $self->call(POST => "$self->{session}$path", \%body);
}


sub element {
    my ($self, $id) = @_;

    my $element = $self->command('/element', using => 'css selector',
                                             value => "#$id");

    return "/element/$element->{$element_key}";
}


sub go {
    my ($self, $url) = @_;

    return $self->command('/url', url => $url);
}


sub type {
    my ($self, $id, $text) = @_;

    my $element = $self->element($id);

    $self->command("$element/clear");

    return $self->command("$element/value", text => $text);
}


sub click {
    my ($self, $id) = @_;

    return $self->command($self->element($id) . '/click');
}


sub text {
    my ($self, $id) = @_;

    return $self->call(GET => $self->{session} . $self->element($id)
                              . '/text');
}


sub run {
    my ($self, $script, @args) = @_;

    return $self->command('/execute/sync', script => $script,
                                           args => \@args);
}


sub console {
    my ($self) = @_;

    push @{ $self->{console} }, map { $_->{message} }
        @{ $self->command('/se/log', type => 'browser') };

    return @{ $self->{console} };
}


sub quit {
    my ($self) = @_;

    return if !$self->{session};

    eval { $self->call(DELETE => delete $self->{session}) };

    return $self->{driver}->stop;
}


# before nginx is stopped: a browser keeps connections open, just in case

END {
    local ($@, $?);

    $_->quit for @browsers;
}


1;
